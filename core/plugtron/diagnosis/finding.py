"""What a look at a plugin or at the machine has found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Finding", "Findings", "Level"]

#: An error is sure to fail a run that uses the part; a warning costs something, or may surprise.
Level: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: `place` says with what, `message` what is wrong and what is accepted."""

    level: Level
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.place}: {self.message}"


#: What a check yields: how bad it is, and what is wrong.
Findings: TypeAlias = Iterator[tuple[Level, str]]
