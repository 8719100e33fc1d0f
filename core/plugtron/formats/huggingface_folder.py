"""What a Hugging Face folder says of special tokens beside the tokenizer itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugtron.errors import TokenizerError
from plugtron.utils.json_file import read_mapping

__all__ = ["AddedText", "SpecialTokens", "read_special_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedText:
    """A token that was added to a vocabulary.

    Args:
        special: it marks structure and is no text.
        lstrip, rstrip: whitespace before or behind it belongs to it.
        single_word: it is no part of a longer word.
        normalized: it is looked for in the text as the normalizer leaves it; None: unless it is special.
    """

    text: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool | None = None

    @property
    def is_normalized(self) -> bool:
        """`normalized` with its default settled."""
        return not self.special if self.normalized is None else self.normalized


#: The special tokens that have a field of their own, which is also their name in templates.
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
#: Where others are listed; a mapping gives them names.
_LISTED = ("additional_special_tokens", "extra_special_tokens")
_TEMPLATES = "additional_chat_templates"
#: Classes of transformers whose add_bos_token decides over the post-processor (in its fourth version, which wrote most
#: folders); for others it means nothing beside a tokenizer.json.
_OBEY_ADD_BOS = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer")
_END = AddedText(text="<|endoftext|>")
#: What classes of transformers call special where no file says so.
_DEFAULTS: Mapping[str, Mapping[str, AddedText]] = {
    "GPT2Tokenizer": {"bos_token": _END, "eos_token": _END, "unk_token": _END},
    "Qwen2Tokenizer": {"eos_token": _END, "pad_token": _END, "unk_token": _END},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Special and added tokens, ids that end a text, and how texts are turned into ids.

    Args:
        named: special tokens by field, "bos_token" and so on.
        absent: the fields that say in so many words that there is none.
        extra: special tokens without a field.
        added: the tokens that were added to the vocabulary, by id.
        eos_ids: the ids that generation ends at, by generation_config.json and config.json.
        add_bos: whether a text begins with BOS; None: unsaid.
        legacy, add_prefix_space: of sentencepiece models, where a space is put before a text; None: unsaid.
        templates: chat templates by name; "default" is the one that is used.
        added_is_newest: `added` overrides what a tokenizer.json says of the same tokens.
        obeys_add_bos: the tokenizer's class goes by add_bos_token, whatever a post-processor says.
        split: special tokens that are written out in a text are text.
    """

    named: Mapping[str, AddedText]
    absent: frozenset[str] = frozenset()
    extra: tuple[AddedText, ...] = ()
    added: Mapping[int, AddedText] = field(default_factory=dict)
    eos_ids: tuple[int, ...] = ()
    add_bos: bool | None = None
    legacy: bool | None = None
    add_prefix_space: bool | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    added_is_newest: bool = False
    obeys_add_bos: bool = False
    split: bool = False

    @property
    def bos(self) -> str | None:
        """The text of the token that begins a text."""
        return self.named["bos_token"].text if "bos_token" in self.named else None

    @property
    def eos(self) -> str | None:
        """The text of the token that ends one."""
        return self.named["eos_token"].text if "eos_token" in self.named else None

    @property
    def texts(self) -> dict[str, str]:
        """Special tokens by field, as templates know them."""
        return {name: token.text for name, token in self.named.items()}


def read_special_tokens(folder: Path) -> SpecialTokens:
    """Read what tokenizer_config.json and the files beside it say, as far as they are there.

    Where tokenizer_config.json lists the added tokens, it alone says what is special; else special_tokens_map.json and
    added_tokens.json do, as for transformers.

    Raises:
        TokenizerError: a file is not what it should be; with the file and the field.
    """
    config, special_map = _File(folder / "tokenizer_config.json"), _File(folder / "special_tokens_map.json")
    listed = "added_tokens_decoder" in config.values
    sources = (config,) if listed else (special_map, config)
    kind = (config.text("tokenizer_class") or "").removesuffix("Fast")
    named: dict[str, AddedText] = {}
    absent: set[str] = set()
    for name in _NAMED:
        source = next((source for source in sources if name in source.values), None)
        token = source.token(name) if source else _DEFAULTS.get(kind, {}).get(name)
        if token is not None:
            named[name] = token
        elif source is not None:
            absent.add(name)
    extra = _extra(sources, named)
    specials = {token.text for token in (*named.values(), *extra)}
    added = config.added() if listed else _added_tokens_file(folder / "added_tokens.json", specials)
    ends = [token for name in ("generation_config.json", "config.json") for token in _end_ids(folder / name)]
    return SpecialTokens(
        named=named,
        absent=frozenset(absent),
        extra=tuple(extra),
        added=added,
        eos_ids=tuple(dict.fromkeys(ends)),
        add_bos=config.flag("add_bos_token"),
        legacy=config.flag("legacy"),
        add_prefix_space=config.flag("add_prefix_space"),
        templates=_templates(folder, config),
        added_is_newest=listed,
        obeys_add_bos=kind in _OBEY_ADD_BOS,
        split=config.flag("split_special_tokens") is True,
    )


class _File:
    """A JSON file of settings; one that is not there has none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, Any] = read_mapping(file, TokenizerError) if file.is_file() else {}

    def text(self, name: str) -> str | None:
        return _text(self.values.get(name), self.file, name)

    def flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise TokenizerError(f"{self.file}: {name} must be true or false (got {value!r})")
        return value

    def token(self, name: str) -> AddedText | None:
        value = self.values.get(name)
        return None if value is None else _token(value, self.file, name, special=True)

    def added(self) -> dict[int, AddedText]:
        """The tokens under added_tokens_decoder, in the order of their ids."""
        listed = self.values.get("added_tokens_decoder") or {}
        if not isinstance(listed, dict) or not all(str(token).isdecimal() and len(token) < 10 for token in listed):
            raise TokenizerError(f"{self.file}: added_tokens_decoder must be a mapping from ids to tokens")
        found = {}
        for token, entry in sorted(listed.items(), key=lambda item: int(item[0])):
            special = bool(entry.get("special", False)) if isinstance(entry, dict) else True
            found[int(token)] = _token(entry, self.file, f"added_tokens_decoder.{token}", special=special)
        return found


def _extra(sources: tuple[_File, ...], named: dict[str, AddedText]) -> list[AddedText]:
    """Special tokens without a field of their own; a mapping of them gives some names, which go to `named`."""
    found: dict[str, AddedText] = {}
    for source in reversed(sources):  # the later word stays
        for name in _LISTED:
            value = source.values.get(name) or []
            if not isinstance(value, list | dict):
                raise TokenizerError(f"{source.file}: {name} must be a list of tokens (got {value!r})")
            for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
                token = _token(entry, source.file, f"{name}.{key}", special=True)
                found[token.text] = token
                if isinstance(key, str):
                    named[key] = token
    return list(found.values())


def _added_tokens_file(file: Path, specials: set[str]) -> dict[int, AddedText]:
    """added_tokens.json: ids by text."""
    values = read_mapping(file, TokenizerError) if file.is_file() else {}
    if not all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in values.values()):
        raise TokenizerError(f"{file} must be a mapping from tokens to their ids")
    ordered = sorted(values.items(), key=lambda item: item[1])
    return {
        token: AddedText(text=_text(text, file, "a token") or "", special=text in specials) for text, token in ordered
    }


def _token(value: Any, file: Path, name: str, *, special: bool) -> AddedText:
    """A token is written as a text, or as a mapping with its `content` and flags."""
    text = _text(value, file, name)
    flags = value if isinstance(value, dict) else {}
    normalized = flags.get("normalized")
    return AddedText(
        text=text or "",
        special=special,
        lstrip=flags.get("lstrip") is True,
        rstrip=flags.get("rstrip") is True,
        single_word=flags.get("single_word") is True,
        normalized=normalized if isinstance(normalized, bool) else None,
    )


def _text(value: Any, file: Path, name: str) -> str | None:
    text = value.get("content") if isinstance(value, dict) else value
    if text is not None and not isinstance(text, str):
        raise TokenizerError(f"{file}: {name} must be a text (got {value!r})")
    if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
        raise TokenizerError(f"{file}: {name} has half of a surrogate pair in it, which is no character")
    return text


def _end_ids(file: Path) -> list[int]:
    value = (read_mapping(file, TokenizerError) if file.is_file() else {}).get("eos_token_id")
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
        raise TokenizerError(f"{file}: eos_token_id must be a token id or a list of them (got {value!r})")
    return [token for token in ids if 0 <= token < 2**31]  # -1 is how some say that there is none


def _templates(folder: Path, config: _File) -> dict[str, str]:
    """Chat templates by name: those in tokenizer_config.json, then the files, which are newer."""
    written = config.values.get("chat_template")
    if isinstance(written, list):  # several by name
        found = {
            str(entry.get("name")): _text(entry.get("template"), config.file, "chat_template")
            for entry in written
            if isinstance(entry, dict)
        }
    else:
        found = {"default": _text(written, config.file, "chat_template")}
    for name, file in _template_files(folder):
        try:
            found[name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise TokenizerError(f"{file} cannot be read: {reason}") from None
    return {name: text for name, text in found.items() if text is not None}


def _template_files(folder: Path) -> Iterator[tuple[str, Path]]:
    if (folder / "chat_template.jinja").is_file():
        yield "default", folder / "chat_template.jinja"
    if (folder / _TEMPLATES).is_dir():
        yield from ((file.stem, file) for file in sorted((folder / _TEMPLATES).glob("*.jinja")))
