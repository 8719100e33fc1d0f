"""What observers are told of a run as a whole."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Outcome", "RunInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run that begins: the model as the spec names it, the engine's name, and the number of ranks."""

    model: str
    engine: str
    world_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended: the requests that finished and failed, and whether somebody stopped it early."""

    finished: int
    failed: int
    interrupted: bool
