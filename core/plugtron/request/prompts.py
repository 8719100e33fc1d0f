"""What callers hand over as prompts, told apart and brought into one form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from operator import index
from typing import Any

from plugtron.errors import RequestError
from plugtron.request.request import Prompt

__all__ = ["as_conversations", "as_prompts"]

_FORMS = "a prompt is a text or a list of token ids; several are a list of those"


def as_prompts(given: Any) -> tuple[bool, list[Prompt]]:
    """Return whether these are several prompts, and all of them. Whatever yields them in an order counts as a list.

    Raises:
        RequestError: it is neither text, nor ids, nor a list of either.
    """
    given = _plain(given)
    if isinstance(given, str):
        return False, [given]
    if not isinstance(given, list):
        raise RequestError(f"{_FORMS} (got {type(given).__name__})")
    if given and all(map(_is_id, given)):
        return False, [[index(entry) for entry in given]]
    prompts = [_ids(entry) for entry in map(_plain, given)]
    for number, entry in enumerate(prompts):
        if not _is_prompt(entry):
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
    if isinstance(given, list):
        several = [_plain(each) for each in given]
        if all(map(_is_conversation, several)):
            return True, several
    raise RequestError('a conversation is a list of messages such as {"role": "user", "content": "Hello"}')


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _is_id(value: Any) -> bool:
    """Whole numbers of any library; True and False are none."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or _is_conversation(value) or (isinstance(value, list) and all(map(_is_id, value)))


def _ids(value: Any) -> Any:
    """A list of ids as Python's own numbers; anything else as it is."""
    return [index(token) for token in value] if isinstance(value, list) and all(map(_is_id, value)) else value


def _plain(value: Any) -> Any:
    """Tuples, arrays, tensors, generators and the like as lists."""
    if hasattr(value, "tolist") and not isinstance(value, str | list):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | list | Mapping | Set):
        return list(value)
    return value
