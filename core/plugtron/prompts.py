"""What callers hand over as prompts, told apart and brought into one form."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any

from plugtron.errors import RequestError
from plugtron.request import Prompt

__all__ = ["as_conversations", "as_prompts"]

_FORMS = "a prompt is a text or a list of token ids; several are a list of those"


def as_prompts(given: Any) -> tuple[bool, list[Prompt]]:
    """Return whether these are several prompts, and all of them. Arrays and tensors count as lists.

    Raises:
        RequestError: it is neither text, nor ids, nor a list of either.
    """
    given = _plain(given)
    if isinstance(given, str):
        return False, [given]
    if not isinstance(given, list):
        raise RequestError(f"{_FORMS} (got {type(given).__name__})")
    if given and all(_is_id(entry) for entry in given):
        return False, [[index(entry) for entry in given]]
    prompts: list[Prompt] = []
    for number, entry in enumerate(map(_plain, given)):
        if isinstance(entry, list) and all(_is_id(token) for token in entry):
            prompts.append([index(token) for token in entry])
        elif isinstance(entry, str) or _is_conversation(entry):
            prompts.append(entry)
        else:
            raise RequestError(f"{_FORMS} (got {type(entry).__name__} as number {number})")
    return True, prompts


def as_conversations(given: Any) -> tuple[bool, list[Prompt]]:
    """Return whether these are several conversations, and all of them.

    Raises:
        RequestError: it is no list of messages, and no list of such lists.
    """
    given = _plain(given)
    if _is_conversation(given):
        return False, [given]
    if isinstance(given, list) and all(_is_conversation(each) for each in map(_plain, given)):
        return True, [_plain(each) for each in given]
    raise RequestError('a conversation is a list of messages such as {"role": "user", "content": "Hello"}')


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _is_id(value: Any) -> bool:
    """Whole numbers of any library; True and False are none."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _plain(value: Any) -> Any:
    """Tuples, arrays and tensors as lists."""
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, str | list) else value
