"""Tokenizers from a sentencepiece model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from sentencepiece import SentencePieceProcessor

from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.formats.huggingface_folder import AddedText, read_special_tokens
from plugtron.plugin.options import Options
from plugtron.tokenizer.added_tokens import AddedTokenSplitter
from plugtron.tokenizer.folder import write_special_tokens
from plugtron.tokenizer.options import SentencePieceOptions, tokenizer_path
from plugtron.tokenizer.sentencepiece_model import without_prefix_space
from plugtron.tokenizer.spelling import sentencepiece_spelling

__all__ = ["PrefixSpace", "SentencePieceTokenizer"]

PrefixSpace = Literal["always", "first", "never"]


class SentencePieceTokenizer(Tokenizer):
    """Runs a sentencepiece model. Tokens written out in a text are recognized, as chat templates need.

    Args:
        model: the serialized model.
        whole: tokens that are taken whole wherever their text stands, by id; they may lie beyond the model's own.
        prefix_space: where a space is put before a piece of text, for models that want one: "always" also behind a
            token that was taken whole, "first" at the beginning alone.
        special_tokens: special tokens by field, for templates.
        chat_templates: by name; "default" is the one that is used.
    """

    def __init__(
        self,
        model: bytes,
        *,
        bos_id: int | None,
        eos_ids: Sequence[int],
        add_bos: bool,
        whole: Mapping[int, AddedText],
        prefix_space: PrefixSpace = "always",
        special_tokens: Mapping[str, str] | None = None,
        chat_templates: Mapping[str, str] | None = None,
    ) -> None:
        self._model = model
        self._processor = _load(model, "the vocabulary")
        self._unprefixed = self._processor if prefix_space == "always" else _load(without_prefix_space(model), "it")
        self._prefix_space = prefix_space
        self._whole = dict(whole)
        self._splitter = AddedTokenSplitter(self._whole)
        self._prefix = [bos_id] if add_bos and bos_id is not None else []
        self.vocab_size = max(self._processor.get_piece_size(), max(whole, default=-1) + 1)
        self.bos_id = bos_id
        self.eos_ids = tuple(eos_ids)
        self.special_tokens = dict(special_tokens or {})
        self.chat_templates = dict(chat_templates or {})
        self.chat_template = self.chat_templates.get("default")

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
        try:
            model = path.read_bytes()
        except OSError as error:
            raise TokenizerError(f"{path} cannot be read: {error.strerror}") from None
        own = _load(model, str(path))
        size = own.get_piece_size()
        named = read_special_tokens(path.parent)
        whole = {
            token: AddedText(text=own.id_to_piece(token))
            for token in range(size)
            if own.is_control(token) or own.is_unknown(token)
        }
        whole |= {token: entry for token, entry in named.added.items() if entry.text}
        ids = {own.id_to_piece(token): token for token in range(size)}
        ids |= {entry.text: token for token, entry in whole.items()}
        for entry in (*named.named.values(), *named.extra):  # one that is nowhere yet comes behind all others
            whole[ids.setdefault(entry.text, max(size, max(whole, default=0) + 1))] = entry

        def end_of(field: str, own_id: int) -> int | None:
            """The id of a token that the folder names, or else the model's own."""
            if field in named.absent:
                return None
            return ids[named.texts[field]] if field in named.texts else own_id if own_id >= 0 else None

        bos, eos = end_of("bos_token", own.bos_id()), end_of("eos_token", own.eos_id())
        prefix_space: PrefixSpace = "first" if named.legacy is False else "always"
        return cls(
            model,
            bos_id=bos,
            eos_ids=list(dict.fromkeys([*([] if eos is None else [eos]), *named.eos_ids])),
            add_bos=named.add_bos is not False if add_bos is None else add_bos,
            whole=whole,
            prefix_space="never" if named.add_prefix_space is False else prefix_space,
            special_tokens={**_own_names(own, named.absent), **named.texts},
            chat_templates=named.templates,
        )

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; BOS once, unless the text begins with it."""
        ids: list[int] = []
        for number, piece in enumerate(self._splitter.split(text)):
            if isinstance(piece, int):
                ids.append(piece)
            elif self._wants_space(piece, first=number == 0):
                ids += self._processor.encode(piece)
            else:
                ids += self._unprefixed.encode(piece)
        if add_special and ids[: len(self._prefix)] != self._prefix:
            return self._prefix + ids
        return ids

    def _wants_space(self, piece: str, *, first: bool) -> bool:
        if self._prefix_space == "first":
            return first and not piece.startswith((" ", "▁"))
        return self._prefix_space == "always"

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an id stands for; an id without a piece stands for none."""
        if token in self._whole:
            entry = self._whole[token]
            return entry.text.encode() if entry.special else sentencepiece_spelling(entry.text)
        if not 0 <= token < self._processor.get_piece_size():
            return b""
        return sentencepiece_spelling(self._processor.id_to_piece(token))

    def is_special(self, token: int) -> bool:
        """Whether an id marks structure: control pieces, the unknown piece, added tokens that say so."""
        return token in self._whole and self._whole[token].special

    def save(self, folder: Path) -> bool:
        """Write tokenizer.model, and beside it what it has no place for."""
        (folder / "tokenizer.model").write_bytes(self._model)
        size = self._processor.get_piece_size()
        own = self._processor
        added = {
            str(token): asdict(entry) | {"content": entry.text}
            for token, entry in sorted(self._whole.items())
            if token >= size or not (own.is_control(token) or own.is_unknown(token))
        }
        for entry in added.values():
            del entry["text"]
        write_special_tokens(
            folder,
            self,
            add_bos_token=bool(self._prefix),
            added_tokens_decoder=added or None,
            legacy=self._prefix_space == "always",
            add_prefix_space=False if self._prefix_space == "never" else None,
        )
        return True


def _own_names(model: SentencePieceProcessor, absent: Collection[str]) -> dict[str, str]:
    """The special tokens that a model itself names."""
    ids = {"bos_token": model.bos_id(), "eos_token": model.eos_id(), "unk_token": model.unk_id()}
    return {name: model.id_to_piece(token) for name, token in ids.items() if token >= 0 and name not in absent}


def _load(model: bytes, source: str) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model)
        processor.id_to_piece(list(range(processor.get_piece_size())))  # whether they are all text
    except (RuntimeError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{source} is no sentencepiece model: {error}") from None
    return processor
