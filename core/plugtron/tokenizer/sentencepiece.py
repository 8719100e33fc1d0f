"""Tokenizers from a sentencepiece model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.options import Options
from plugtron.tokenizer.bpe import piece_bytes
from plugtron.tokenizer.folder import read_special_tokens, write_special_tokens
from plugtron.tokenizer.options import SentencePieceOptions, tokenizer_path

__all__ = ["SentencePieceTokenizer"]


class SentencePieceTokenizer(Tokenizer):
    """Runs a sentencepiece model. Tokens written out in a text are recognised, as chat templates need.

    Args:
        model: the serialised model.
        whole: tokens that are taken whole wherever their text stands, by id; they may lie beyond the model's own.
        special: those of them that mark structure and are no text.
    """

    def __init__(
        self,
        model: bytes,
        *,
        bos_id: int | None,
        eos_ids: Sequence[int],
        add_bos: bool,
        chat_template: str | None,
        whole: Mapping[int, str],
        special: Collection[int],
    ) -> None:
        self._model = model
        self._processor = _load(model, "the vocabulary")
        self._ids = {text: token for token, text in whole.items()}
        self._names = dict(whole)
        self._special = frozenset(special)
        # Longest first, so that no token hides behind one that it begins with.
        texts = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, texts)) + ")") if texts else None
        self._prefix = [bos_id] if add_bos and bos_id is not None else []
        self.vocab_size = max(self._processor.get_piece_size(), max(whole, default=-1) + 1)
        self.bos_id = bos_id
        self.eos_ids = tuple(eos_ids)
        self.chat_template = chat_template

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> SentencePieceTokenizer:
        """Build from `path`, or else from tokenizer.model in the checkpoint's folder."""
        assert isinstance(options, SentencePieceOptions)
        add_bos = options.add_bos
        if add_bos is None and parts.model is not None and parts.model.format == "megatron":
            add_bos = False  # Megatron adds none unless it is asked to
        return cls.from_file(tokenizer_path(parts, options.path, "tokenizer.model"), add_bos=add_bos)

    @classmethod
    def from_file(cls, path: Path, *, add_bos: bool | None = None) -> SentencePieceTokenizer:
        """Build from a .model file; Hugging Face files beside it add what they know.

        Args:
            add_bos: begin texts with BOS; None: unless those files say otherwise.
        """
        model = path.read_bytes()
        own = _load(model, str(path))
        named = read_special_tokens(path.parent)
        bos, eos = own.bos_id(), own.eos_id()  # -1: there is none
        control = [token for token in range(own.get_piece_size()) if own.is_control(token) or own.is_unknown(token)]
        added = {token: entry for token, entry in named.added.items() if token >= own.get_piece_size()}
        return cls(
            model,
            bos_id=bos if bos >= 0 else None,
            eos_ids=list(dict.fromkeys([*([eos] if eos >= 0 else []), *named.eos_ids])),
            add_bos=named.add_bos is not False if add_bos is None else add_bos,
            chat_template=named.chat_template,
            whole={token: own.id_to_piece(token) for token in control}
            | {token: entry.text for token, entry in added.items()},
            special=[*control, *(token for token, entry in added.items() if entry.special)],
        )

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; BOS once, unless the text begins with it."""
        ids: list[int] = []
        for piece in [text] if self._pattern is None else self._pattern.split(text):
            if piece in self._ids:
                ids.append(self._ids[piece])
            elif piece:
                ids += self._processor.encode(piece)
        if add_special and ids[: len(self._prefix)] != self._prefix:
            return self._prefix + ids
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an id stands for; an id without a piece stands for none."""
        if token in self._names:
            return self._names[token].encode()
        if not 0 <= token < self._processor.get_piece_size():
            return b""
        return piece_bytes(self._processor.id_to_piece(token))

    def save(self, folder: Path) -> bool:
        """Write tokenizer.model, and beside it what it has no place for."""
        (folder / "tokenizer.model").write_bytes(self._model)
        size = self._processor.get_piece_size()
        added = {
            str(token): {"content": text, "special": token in self._special}
            for token, text in self._names.items()
            if token >= size
        }
        write_special_tokens(folder, self, add_bos_token=bool(self._prefix), added_tokens_decoder=added or None)
        return True

    def is_special(self, token: int) -> bool:
        """Whether an id marks structure: control pieces, the unknown piece, added tokens that say so."""
        return token in self._special


def _load(model: bytes, source: str) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model)
    except RuntimeError as error:
        raise TokenizerError(f"{source} is no sentencepiece model: {error}") from None
    return processor
