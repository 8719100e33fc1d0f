"""What a load came to over simulated replicas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plugtron.bench.summary import Summary

__all__ = ["FleetReport", "table"]

_TITLES = ("replicas", "routing", "requests", "cached", "tokens/s", "queue", "first token", "95 %", "between", "most")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """A load over `replicas` replicas.

    Args:
        steps: of all of them.
        busiest: how many times the average of requests the replica got that got the most.
    """

    replicas: int
    routing: str
    steps: int
    busiest: float
    summary: Summary

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that some replica's memory had, 0 to 1."""
        return self.summary.cached_tokens / self.summary.prompt_tokens if self.summary.prompt_tokens else 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures for reading; times in milliseconds."""
        queue, first, between = self.summary.queue, self.summary.time_to_first_token, self.summary.inter_token
        times = (
            queue and queue.mean,
            first and first.mean,
            first and first.p95,
            between and between.mean,
        )
        return (
            str(self.replicas),
            self.routing,
            str(self.summary.requests),
            f"{100 * self.hit_rate:.1f} %",
            f"{self.summary.output_tokens_per_second:.0f}",
            *("-" if value is None else f"{1000 * value:.1f}" for value in times),
            f"{self.busiest:.2f}",
        )


def table(reports: Iterable[FleetReport]) -> str:
    """A line for each report, and what its columns are."""
    rows: list[Sequence[str]] = [_TITLES, *(report.cells for report in reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 1 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    explained = (
        "cached: prompt tokens from memory; times in ms, means but for the 95th percentile of the first token; "
        "most: requests of the busiest replica, in averages"
    )
    return "\n".join([*lines, explained])
