"""Writing what a Hugging Face folder says of special tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plugtron.contracts.tokenizer import Tokenizer

__all__ = ["write_special_tokens"]


def write_special_tokens(folder: Path, tokenizer: Tokenizer, **more: Any) -> None:
    """Write tokenizer_config.json, which `read_special_tokens` and transformers read."""

    def name(token: int | None) -> str | None:
        return None if token is None else tokenizer.token_bytes(token).decode("utf-8", errors="replace")

    values = {
        **tokenizer.special_tokens,
        "bos_token": name(tokenizer.bos_id),
        "eos_token": name(tokenizer.eos_ids[0] if tokenizer.eos_ids else None),
        "chat_template": tokenizer.chat_template,
        "clean_up_tokenization_spaces": False,
        **more,
    }
    kept = {field: value for field, value in values.items() if value is not None}
    text = json.dumps(kept, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
