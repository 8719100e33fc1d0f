"""The CPU benchmark's results as a table."""

from __future__ import annotations

import statistics
from typing import Any

from cpu_tasks import TASKS

__all__ = ["markdown"]

#: A side whose likeliest tokens are those of float32 less often does not count as a peer.
COUNTS = 0.94


def markdown(results: dict[str, Any]) -> str:
    """Medians with the least and the greatest, then quality, memory and start."""
    rates: dict[str, dict[str, list[float]]] = results["tokens_per_second"]
    sides = list(results["versions"])
    titles = [TASKS[name].meaning for name in rates]
    header = ["tokens a second", *titles, "agrees with float32", "peak memory", "ready after"]
    lines = [header, ["---"] * len(header)]
    for side in sides:
        agreement = results["agreement"][side]
        worst = min(agreement.values())
        quality = ", ".join(f"{share:.1%} {text}" for text, share in agreement.items())
        lines.append(
            [
                side,
                *[_spread(rates[name][side]) for name in rates],
                quality if worst >= COUNTS else f"{quality} (does not count)",
                f"{results['peak_bytes'][side] / 1e6:.0f} MB",
                f"{results['ready_seconds'][side]:.1f} s",
            ]
        )
    rate = results["read_bytes_per_second"] / 1e9
    note = f"Medians (least to greatest). Two threads read a buffer of the model's size at {rate:.1f} GB/s."
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{note}\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
