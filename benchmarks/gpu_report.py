"""The GPU benchmark's results as tables, one a shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["markdown"]


def markdown(results: Mapping[str, Any]) -> str:
    """Rates with their shares of the bound, then starts, capturing, idle shares, and errors; what failed, and why."""
    sizes, limits = results["sizes"], results["limits"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [
        f"{limits['device']}; {versions}. Copies {limits['copy_bytes_per_second'] / 1e9:.0f} GB/s, multiplies bfloat16 "
        f"matrices at {limits['matmul_flops_per_second'] / 1e12:.0f} TFLOP/s: percentages are of what these allow. "
        f"Tokens a second: decode of one row after {sizes['context']} tokens, prefill of {sizes['prefill']}, and "
        f"output of several rows with {sizes['prompt']} tokens in and {sizes['tokens']} out."
    ]
    for shape, sides in results["sides"].items():
        parts += [f"## {shape}", _table(sides, [str(rows) for rows in sizes["rows"]]), _failures(sides)]
    parts += [f"- {name}: {reason}" for name, reason in results["absent"].items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(sides: Mapping[str, Any], rows: list[str]) -> str:
    titles = ["decode", "prefill", *(f"{count} rows" for count in rows)]
    titles += ["first token", "ready", "captured", "idle, by rows", "logit error"]
    lines = [["", *titles], ["---"] * (len(titles) + 1)]
    for variant, record in sides.items():
        own, shares = record.get("rows", {}), record.get("shares", {})
        lines.append(
            [
                variant,
                _rate(record.get("decode"), shares.get("decode")),
                _rate(record.get("prefill"), shares.get("prefill")),
                *[_rate(own.get(count), shares.get("rows", {}).get(count)) for count in rows],
                _number(record.get("first_token_seconds"), 1e3, ".1f", " ms"),
                _number(record.get("ready_seconds"), 1, ".1f", " s"),
                _captured(record),
                ", ".join(f"{count}: {share:.1%}" for count, share in record.get("idle", {}).items()) or "-",
                _number(record.get("logit_error"), 1, ".4f", ""),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rate(rate: float | None, share: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.0f}" if share is None else f"{rate:.0f} ({share:.0%})"


def _number(value: float | None, scale: float, form: str, unit: str) -> str:
    return "-" if value is None else f"{value * scale:{form}}{unit}"


def _captured(record: Mapping[str, Any]) -> str:
    if "capture_seconds" not in record:
        return "-"
    return f"{record['capture_seconds']:.1f} s, {record['capture_bytes'] / 1e6:.0f} MB"


def _failures(sides: Mapping[str, Any]) -> str:
    errors = [(variant, what, text) for variant, own in sides.items() for what, text in own.get("errors", {}).items()]
    return "\n".join(f"- {variant}, {what}: {text}" for variant, what, text in errors)
