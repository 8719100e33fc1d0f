"""What an engine counts of its work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Self

__all__ = ["EngineStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """An engine at this moment, and what it has done since it was made.

    Args:
        running, waiting: sequences now.
        blocks: blocks of KV memory in all.
        blocks_used: those that sequences hold now, shared ones counted once.
        cached_blocks: free blocks that keep a prefix for later prompts.
        peak_running, peak_waiting, peak_blocks_used: the greatest these have been after any step.
        steps: steps run.
        tokens: tokens computed in them, of prompts and of answers.
        prompt_tokens: tokens of the prompts that were admitted, counted for each sequence.
        cached_tokens: those of them that memory, or the disk, had already.
        disk_tokens: tokens that were read from disk instead of computed.
        preemptions: how often a sequence gave its memory away, to be computed again.
        drafted_tokens: draft tokens of sequences that have ended.
        accepted_tokens: those of them that were accepted.
        step_seconds: spent in steps, all that is done in them.
        start_seconds: spent starting steps: laying them out, the model, the draw. Of a device that runs by itself only
            what it takes to have it begin; 0 where an engine does not tell it from the rest.
        finish_seconds: spent finishing steps, from tokens to text; and waiting for such a device.
        replicas: the engines whose sums these are.
    """

    running: int
    waiting: int
    blocks: int
    blocks_used: int
    cached_blocks: int = 0
    peak_running: int
    peak_waiting: int
    peak_blocks_used: int
    steps: int
    tokens: int
    prompt_tokens: int
    cached_tokens: int = 0
    disk_tokens: int = 0
    preemptions: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    step_seconds: float = 0.0
    start_seconds: float = 0.0
    finish_seconds: float = 0.0
    replicas: int = 1

    @property
    def tokens_per_step(self) -> float:
        """Tokens computed in a step, on average."""
        return self.tokens / self.steps if self.steps else 0.0

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that memory had already, 0 to 1."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def acceptance_rate(self) -> float:
        """The share of draft tokens that were accepted, 0 to 1."""
        return self.accepted_tokens / self.drafted_tokens if self.drafted_tokens else 0.0

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """The sums over several engines; of none, nothing."""
        sums: dict[str, float] = {field.name: 0 for field in fields(cls)}
        for part in parts:
            for name, value in asdict(part).items():
                sums[name] += value
        return cls(**sums)  # pyright: ignore[reportArgumentType] - whole numbers stay so

    @property
    def ended(self) -> Self:
        """What stays of it in sums when the engine is gone: what it has done, and nothing of how things stand."""
        gone = dict.fromkeys(("running", "waiting", "blocks", "blocks_used", "cached_blocks", "replicas"), 0)
        return replace(self, **gone)
