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
    titles = [TASKS[name].meaning for name in results["tasks"]]
    header = [
        "tokens a second",
        *titles,
        "of the limit",
        "agrees with float32 (KL)",
        "memory, one prompt",
        "first token",
    ]
    lines = [header, ["---"] * len(header)]
    for side in results["versions"]:
        quality = results["quality"][side]
        lines.append(
            [
                side,
                *[_spread(_kept(task, side)) for task in results["tasks"].values()],
                _share_of_limit(results, side),
                ", ".join(_quality(text, values) for text, values in quality.items())
                + ("" if min(values["top_1"] for values in quality.values()) >= COUNTS else " (does not count)"),
                f"{statistics.median(start['peak_bytes'] for start in results['starts'][side]) / 1e6:.0f} MB",
                f"{statistics.median(start['seconds'] for start in results['starts'][side]):.1f} s",
            ]
        )
    imported = statistics.median(results["import_seconds"])
    discarded = sum(not each["kept"] for task in results["tasks"].values() for each in task["rounds"])
    notes = (
        f"{results['machine']}. Medians (least to greatest); {discarded} rounds discarded. Between the rounds of the "
        f"first task two threads read a buffer of the model's size at {_reading(results) / 1e9:.1f} GB/s: the limit of "
        f"a decode. A side with one number was out of the running, and was not repeated. "
        f"`import torch` takes {imported:.1f} s."
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{notes}\n"


def _kept(task: dict[str, Any], side: str) -> list[float]:
    rounds = [each["tokens_per_second"] for each in task["rounds"] if each["kept"]]
    slow = task["out_of_the_running"]
    return [slow[side]] if side in slow else [each[side] for each in rounds if side in each]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    spread = f" ({min(values):.0f} to {max(values):.0f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.0f}{spread}"


def _share_of_limit(results: dict[str, Any], side: str) -> str:
    """Of a decode step that reads every weight as fast as memory gives it."""
    decode = results["tasks"].get("decode")
    if decode is None or not _kept(decode, side):
        return "-"
    limit = _reading(results) / results["weight_bytes"][side]
    return f"{statistics.median(_kept(decode, side)) / limit:.0%}"


def _reading(results: dict[str, Any]) -> float:
    first = next(iter(results["tasks"].values()))
    return statistics.median(each["read_bytes_per_second"] for each in first["rounds"] if each["kept"])


def _quality(text: str, values: dict[str, float]) -> str:
    divergence = f" ({values['kl']:.4f})" if "kl" in values else ""
    return f"{values['top_1']:.1%}{divergence} {text}"
