"""The built-in parsers of answers, a file for each way that families write calls and reasoning; and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.parsing.json_text import Span
    from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["Call", "MarkedParser", "Read", "Span"]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Call": "plugtron.parsing.marked",
    "MarkedParser": "plugtron.parsing.marked",
    "Read": "plugtron.parsing.marked",
    "Span": "plugtron.parsing.json_text",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
