"""Text to token ids and back; conversations to text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.tokenizer.chat import render_chat
    from plugtron.tokenizer.ids import NullTokenizer

__all__ = [
    "NullTokenizer",
    "render_chat",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "NullTokenizer": "plugtron.tokenizer.ids",
    "render_chat": "plugtron.tokenizer.chat",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
