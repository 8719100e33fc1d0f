"""One prompt or several, as OpenAI's API writes them."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.request.request import Prompt

__all__ = ["prompts_of"]


def prompts_of(given: str | Sequence[int] | Sequence[str] | Sequence[Sequence[int]]) -> list[Prompt]:
    """The prompts: a text, ids, or a list of either."""
    if isinstance(given, str):
        return [given]
    if not given or isinstance(given[0], int):
        return [list(given)]  # pyright: ignore[reportReturnType] - ids, or nothing, which admission refuses
    return [each if isinstance(each, str) else list(each) for each in given]  # pyright: ignore[reportArgumentType, reportReturnType] - texts, or lists of ids
