"""A line of what `plugtron doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at: how it is, and what to do about it where it is not well."""

    status: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.status:4}  {self.topic}: {self.text}{f' -> {self.remedy}' if self.remedy else ''}"
