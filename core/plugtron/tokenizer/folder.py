"""What a Hugging Face folder says of special tokens beside the tokenizer itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.errors import TokenizerError

__all__ = ["SpecialTokens", "read_special_tokens"]


@dataclass(frozen=True, slots=True)
class AddedText:
    """A token that was added to a vocabulary: its text, and whether it marks structure."""

    text: str
    special: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Names of the first and last token, ids that end a text, whether BOS is wanted (None: unsaid), the template.

    `added` are the tokens that the configuration lists, by id.
    """

    bos: str | None
    eos: str | None
    eos_ids: tuple[int, ...]
    add_bos: bool | None
    chat_template: str | None
    added: dict[int, AddedText]


def read_special_tokens(folder: Path) -> SpecialTokens:
    """Read tokenizer_config.json, generation_config.json, config.json and chat_template.jinja, as far as there."""
    config = _json(folder / "tokenizer_config.json")
    ends: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = _json(folder / name).get("eos_token_id")
        ends |= {value} if isinstance(value, int) else set(value or ())
    return SpecialTokens(
        bos=_content(config.get("bos_token")),
        eos=_content(config.get("eos_token")),
        eos_ids=tuple(sorted(ends)),
        add_bos=config.get("add_bos_token"),
        chat_template=_chat_template(folder, config.get("chat_template")),
        added={
            int(token): AddedText(str(_content(entry)), bool(entry.get("special", True)))
            for token, entry in (config.get("added_tokens_decoder") or {}).items()
        },
    )


def _content(token: Any) -> str | None:
    """A token is written as a text, or as a mapping with its `content`."""
    return token.get("content") if isinstance(token, dict) else token


def _chat_template(folder: Path, written: Any) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if isinstance(written, list):  # several by name
        return next((entry.get("template") for entry in written if entry.get("name") == "default"), None)
    return written


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TokenizerError(f"{file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise TokenizerError(f"{file} does not hold a mapping")
    return values
