"""What observers are told of a run as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Outcome", "RunInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run that begins: the model as the spec names it, the engine's name, and the number of ranks."""

    model: str
    engine: str
    world_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended: the requests that finished and failed, and whether somebody stopped it early.

    `stats` are the fields of the engine's EngineStats by name; empty where it counts nothing.
    """

    finished: int
    failed: int
    interrupted: bool
    stats: Mapping[str, float] = field(default_factory=dict)
