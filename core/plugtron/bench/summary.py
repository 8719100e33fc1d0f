"""What a load came to: rates, and how the times of its requests are spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Self

from plugtron.contracts.stats import EngineStats
from plugtron.request.request import InferenceRequest

__all__ = ["Spread", "Summary", "engine_line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How values are spread: their mean, median, 95th percentile and greatest."""

    mean: float
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self | None:
        """Describe the values that are there; None when there is none."""
        found = [value for value in values if value is not None]
        if not found:
            return None
        cuts = quantiles(found, n=20, method="inclusive") if len(found) > 1 else found * 19
        return cls(mean=fmean(found), median=cuts[9], p95=cuts[18], most=max(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A load that has been run. Tokens are counted for each sequence; prompts of failed requests may have none.

    Spreads are in seconds: over the requests that did not fail, `inter_token` over every token after a first one.
    """

    requests: int
    failed: int
    seconds: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    preemptions: int
    output_tokens_per_second: float
    total_tokens_per_second: float
    queue: Spread | None
    time_to_first_token: Spread | None
    inter_token: Spread | None
    total: Spread | None

    @classmethod
    def of(cls, requests: Sequence[InferenceRequest], seconds: float) -> Self:
        """Sum up requests that took `seconds` together."""
        timings = [request.timings for request in requests if request.error is None]
        prompts = sum(len(request.prompt_tokens) * len(request.sequences) for request in requests)
        outputs = sum(len(sequence.tokens) for request in requests for sequence in request.sequences)
        return cls(
            requests=len(requests),
            failed=sum(request.error is not None for request in requests),
            seconds=seconds,
            prompt_tokens=prompts,
            cached_tokens=sum(request.cached_tokens for request in requests),
            output_tokens=outputs,
            preemptions=sum(request.preemptions for request in requests),
            output_tokens_per_second=outputs / seconds,
            total_tokens_per_second=(prompts + outputs) / seconds,
            queue=Spread.of(entry.queue for entry in timings),
            time_to_first_token=Spread.of(entry.time_to_first_token for entry in timings),
            inter_token=Spread.of(gap for request in requests for gap in request.token_gaps),
            total=Spread.of(entry.total for entry in timings),
        )

    def table(self) -> str:
        """The figures for reading."""
        failed = f", {self.failed} failed" if self.failed else ""
        lines = [
            f"{self.requests} requests in {self.seconds:.2f} s{failed}: {self.prompt_tokens} prompt tokens "
            f"({self.cached_tokens} from memory), {self.output_tokens} generated, "
            f"{self.output_tokens_per_second:.1f} tokens/s, {self.preemptions} preemptions",
            f"{'milliseconds':20}{'mean':>10}{'median':>10}{'95 %':>10}{'most':>10}",
        ]
        for name, spread in (
            ("queue", self.queue),
            ("time to first token", self.time_to_first_token),
            ("between tokens", self.inter_token),
            ("whole request", self.total),
        ):
            if spread is not None:
                values = (spread.mean, spread.median, spread.p95, spread.most)
                lines.append(f"{name:20}" + "".join(f"{1000 * value:10.1f}" for value in values))
        return "\n".join(lines)


def engine_line(stats: EngineStats) -> str:
    """An engine's own figures for reading."""
    disk = f" ({stats.disk_tokens} tokens from disk)" if stats.disk_tokens else ""
    drafts = f"; {100 * stats.acceptance_rate:.1f} % of {stats.drafted_tokens} drafted tokens kept"
    return (
        f"{stats.steps} steps of {stats.tokens_per_step:.1f} tokens; at the most {stats.peak_running} "
        f"sequences running, {stats.peak_waiting} waiting, {stats.peak_blocks_used} of {stats.blocks} blocks used; "
        f"{100 * stats.hit_rate:.1f} % of prompt tokens from memory{disk}{drafts if stats.drafted_tokens else ''}"
    )
