"""Texts within what clients send: of items and messages, and in lists of parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from plugtron.errors import RequestError

__all__ = ["string_of", "text_of"]


def string_of(item: Mapping[str, Any], name: str, place: str) -> str:
    """Return a text of an item that must have it.

    Raises:
        RequestError: it has none.
    """
    value = item.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{place}.{name}: must be a text")
    return value


def text_of(content: Any, place: str, types: Collection[str]) -> str:
    """Return a text, or the texts of a list of parts, a line each.

    Args:
        types: of parts that are texts; an error shows the first.

    Raises:
        RequestError: it is neither, or has a part of another type.
    """
    if isinstance(content, str):
        return content
    first = next(iter(types))
    if not isinstance(content, list):
        raise RequestError(f"{place}: must be a text or a list of parts such as {{type: {first}, text: ...}}")
    texts = []
    for number, part in enumerate(content):
        where = f"{place}.{number}"
        if not isinstance(part, dict):
            raise RequestError(f"{where}: must be a part such as {{type: {first}, text: ...}}")
        if part.get("type") not in types:
            raise RequestError(f"{where}.type: {part.get('type')!r} is not done (accepted: {', '.join(types)})")
        texts.append(string_of(part, "text", where))
    return "\n".join(texts)
