"""Tokenizers from the tokenizer.json of a Hugging Face folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from plugtron.contracts.parts import Parts
from plugtron.errors import TokenizerError
from plugtron.formats.huggingface_folder import AddedText, SpecialTokens, read_special_tokens
from plugtron.plugin.options import Options
from plugtron.tokenizer.bpe import LibraryTokenizer
from plugtron.tokenizer.options import PathOptions, tokenizer_path
from plugtron.tokenizer.spelling import decoder_spelling

__all__ = ["HuggingFaceTokenizer"]


class HuggingFaceTokenizer(LibraryTokenizer):
    """Reads tokenizer.json, and beside it what tokenizer_config.json and its companions say."""

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> HuggingFaceTokenizer:
        """Build from `path`, or else from the checkpoint's folder."""
        assert isinstance(options, PathOptions)
        return cls.from_file(tokenizer_path(parts, options.path, "tokenizer.json"))

    @classmethod
    def from_file(cls, file: Path) -> HuggingFaceTokenizer:
        """Build from a tokenizer.json, whatever it is called.

        Raises:
            TokenizerError: it cannot be read, or is of a kind that text cannot be rebuilt from.
        """
        try:
            text = file.read_text(encoding="utf-8")
            backend = Backend.from_str(text)
        # The library raises bare Exception for whatever it does not understand.
        except Exception as error:
            raise TokenizerError(f"{file} cannot be read: {error}") from None
        values = json.loads(text)
        special = read_special_tokens(file.parent)
        known = {entry.content for entry in backend.get_added_tokens_decoder().values() if entry.special}
        _add_tokens(backend, special, file)
        if not backend.get_vocab_size(with_added_tokens=True):
            raise TokenizerError(f"{file} has no tokens")
        backend.encode_special_tokens = special.split
        bos = _id(backend, special.bos)
        return cls(
            backend,
            spelling=decoder_spelling(values.get("decoder"), str(file)),
            bos_id=bos,
            eos_ids=_eos_ids(backend, special),
            prefix=_prefix(values.get("post_processor"), special, bos, str(file)),
            special=known | {token.text for token in (*special.named.values(), *special.extra)},
            special_tokens=special.texts,
            chat_templates=special.templates,
        )


def _id(backend: Backend, token: str | None) -> int | None:
    return None if token is None else backend.token_to_id(token)


def _eos_ids(backend: Backend, special: SpecialTokens) -> list[int]:
    """The named one first, which templates write; then all that generation ends at."""
    named = _id(backend, special.eos)
    return list(dict.fromkeys([*([] if named is None else [named]), *special.eos_ids]))


def _add_tokens(backend: Backend, special: SpecialTokens, file: Path) -> None:
    """Add what the files beside tokenizer.json list and it lacks, as transformers does.

    tokenizer_config.json's list is newer than tokenizer.json's own, added_tokens.json is older.
    """
    known = {entry.content: entry for entry in backend.get_added_tokens_decoder().values()}
    new: dict[str, AddedText] = {}
    for token in special.added.values():
        if token.text not in known or (special.added_is_newest and not _same(known[token.text], token)):
            new[token.text] = token
    for token in (*special.named.values(), *special.extra):
        if token.text not in known:
            new.setdefault(token.text, token)
    names = {token.text for token in special.named.values()}
    for text, token in new.items():
        backend.add_tokens([_library_token(token, special=token.special or text in names)])
    for number, token in special.added.items():
        given = backend.token_to_id(token.text)
        if given != number:
            warnings.warn(
                f"{file}: token {token.text!r} has id {given}, although it is listed with {number} beside it",
                stacklevel=4,
            )


def _same(known: AddedToken, token: AddedText) -> bool:
    return (known.special, known.lstrip, known.rstrip, known.single_word, known.normalized) == (
        token.special,
        token.lstrip,
        token.rstrip,
        token.single_word,
        token.is_normalized,
    )


def _library_token(token: AddedText, *, special: bool) -> AddedToken:
    return AddedToken(
        token.text,
        special=special,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        single_word=token.single_word,
        normalized=token.is_normalized,
    )


def _prefix(post_processor: Any, special: SpecialTokens, bos: int | None, place: str) -> list[int]:
    """What goes before a text, as the post-processor says; for some classes add_bos_token does, where it is written.

    What a post-processor puts behind a text is left out: an end of sequence would end a prompt before it began.
    """
    if special.obeys_add_bos and special.add_bos is not None and bos is not None:
        return [bos] if special.add_bos else []
    try:
        return [token for part in _processors(post_processor) for token in _leading_ids(part)]
    except (KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(f"{place}: post_processor cannot be understood: {error!r}") from None


def _processors(post_processor: Any) -> Iterator[Mapping[str, Any]]:
    if post_processor is None:
        return
    if post_processor["type"] == "Sequence":
        for part in post_processor["processors"]:
            yield from _processors(part)
    else:
        yield post_processor


def _leading_ids(processor: Mapping[str, Any]) -> Iterator[int]:
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        yield processor["cls"][1]
    for piece in processor["single"] if processor["type"] == "TemplateProcessing" else ():
        if "Sequence" in piece:
            return
        yield from processor["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
