"""What a Hugging Face folder says of special tokens beside the tokenizer itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.json_file import read_mapping

__all__ = ["SpecialTokens", "read_special_tokens", "write_special_tokens"]


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
    """Read tokenizer_config.json, generation_config.json, config.json and chat_template.jinja, as far as there.

    Raises:
        TokenizerError: a file is not what it should be; with the file and the field.
    """
    file = folder / "tokenizer_config.json"
    config = _json(file)
    ends = [token for name in ("generation_config.json", "config.json") for token in _end_ids(folder / name)]
    added = config.get("added_tokens_decoder") or {}
    if not isinstance(added, dict) or not all(str(token).isdecimal() for token in added):
        raise TokenizerError(f"{file}: added_tokens_decoder must be a mapping from ids to tokens")
    return SpecialTokens(
        bos=_content(config.get("bos_token"), file, "bos_token"),
        eos=_content(config.get("eos_token"), file, "eos_token"),
        eos_ids=tuple(dict.fromkeys(ends)),
        add_bos=config.get("add_bos_token"),
        chat_template=_chat_template(folder, config.get("chat_template"), file),
        added={
            int(token): AddedText(
                _content(entry, file, f"added_tokens_decoder.{token}") or "",
                bool(entry.get("special", True)) if isinstance(entry, dict) else True,
            )
            for token, entry in added.items()
        },
    )


def write_special_tokens(folder: Path, tokenizer: Tokenizer, **more: Any) -> None:
    """Write tokenizer_config.json, which `read_special_tokens` and transformers read."""

    def name(token: int | None) -> str | None:
        return None if token is None else tokenizer.token_bytes(token).decode("utf-8", errors="replace")

    values = {
        "bos_token": name(tokenizer.bos_id),
        "eos_token": name(tokenizer.eos_ids[0] if tokenizer.eos_ids else None),
        "chat_template": tokenizer.chat_template,
        "clean_up_tokenization_spaces": False,
        **more,
    }
    kept = {field: value for field, value in values.items() if value is not None}
    text = json.dumps(kept, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def _end_ids(file: Path) -> list[int]:
    value = _json(file).get("eos_token_id")
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
        raise TokenizerError(f"{file}: eos_token_id must be a token id or a list of them (got {value!r})")
    return ids


def _content(token: Any, file: Path, field: str) -> str | None:
    """A token is written as a text, or as a mapping with its `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None and not isinstance(text, str):
        raise TokenizerError(f"{file}: {field} must be a text (got {token!r})")
    return text


def _chat_template(folder: Path, written: Any, config: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise TokenizerError(f"{file} is not UTF-8 text") from None
    if isinstance(written, list):  # several by name
        named = [entry for entry in written if isinstance(entry, dict)]
        written = next((entry.get("template") for entry in named if entry.get("name") == "default"), None)
    return _content(written, config, "chat_template")


def _json(file: Path) -> dict[str, Any]:
    return read_mapping(file, TokenizerError) if file.is_file() else {}
