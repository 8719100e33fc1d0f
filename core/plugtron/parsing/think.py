"""Reasoning in <think>, for models whose templates have no calls."""

from __future__ import annotations

from plugtron.parsing.marked import MarkedParser, Read

__all__ = ["ThinkParser"]


class ThinkParser(MarkedParser):
    """Reads `<think>reasoning</think>content`; calls are not looked for."""

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has reasoning, and no marks of calls."""
        calls = ("tool_call", "tool▁call", "[TOOL_CALLS]", "<|open|>", "<|channel", "DSML", "<function=")
        return "</think>" in template and not any(mark in template for mark in calls)

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Never asked: no call has a mark."""
        del ended
        return Read(len(text))
