"""Values that JSON can be read into and that cannot be written as JSON again: an answer that repeats one would fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

__all__ = ["find_unwritable"]

#: What a text of JSON has in it where a value may be one: half of a surrogate pair, or a number with an exponent.
_SUSPICIOUS = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?[0-9]{3}|[0-9]{200}")
_NO_UNICODE = "must be Unicode text: it has half of a pair in it"


def find_unwritable(raw: bytes, parsed: Any) -> tuple[str | None, str] | None:
    """The place of the first such value, None for the whole, and what is wrong with it.

    Args:
        raw: the text that `parsed` was read from; most texts are seen to have none without a look at their values.
    """
    if _SUSPICIOUS.search(raw) is None:
        return None
    for place, value in _values(parsed):
        if isinstance(value, float) and not isfinite(value):
            return place or None, "must be a finite number"
        if isinstance(value, dict) and not all(map(_is_unicode, value)):
            return place or None, f"a name in it {_NO_UNICODE}"
        if isinstance(value, str) and not _is_unicode(value):
            return place or None, _NO_UNICODE
    return None


def _values(parsed: Any) -> Iterator[tuple[str, Any]]:
    """All values, each mapping before what is in it, with their places. Without recursion: texts may be deep."""
    left = [("", parsed)]
    while left:
        place, value = left.pop()
        yield place, value
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        left += [(f"{place}.{name}" if place else str(name), each) for name, each in inner]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
