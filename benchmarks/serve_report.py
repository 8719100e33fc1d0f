"""The table of the benchmark of serving."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

__all__ = ["machine", "write_report"]


def write_report(record: dict[str, Any]) -> str:
    """The results as Markdown, with the numbers that they are made of."""
    rates, times, cost = record["rates"], record["first_token"], record["cost"]
    idle, batch = record["idle"], record["batch"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    extra = statistics.median(a / b for a, b in zip(cost["served"], cost["offline"], strict=True)) - 1
    steps = statistics.median(
        (a - b) / count * 1e3 for a, b, count in zip(cost["served"], cost["offline"], cost["steps"], strict=True)
    )
    growth = (batch["bytes"][1] / batch["bytes"][0] - 1) * 100
    rows = [
        ("16 clients, output tokens a second: `plugtron serve`", _span(rates["plugtron serve"])),
        ("... llama-server (`xllamacpp`)", _span(rates["llama-server"])),
        ("... the engine without HTTP (`LLM.generate`)", _span(rates["LLM.generate"])),
        ("... `plugtron serve` / llama-server", _ratio(rates["plugtron serve"], rates["llama-server"])),
        ("... `plugtron serve` / the engine", _ratio(rates["plugtron serve"], rates["LLM.generate"])),
        ("4 requests a second, mean time to the first token, s: `plugtron serve`", _span(times["plugtron serve"], 3)),
        ("... llama-server", _span(times["llama-server"], 3)),
        ("... llama-server / `plugtron serve`", _ratio(times["llama-server"], times["plugtron serve"])),
        ("16 streams of a light client: time more than without HTTP", f"{extra:.1%}, {steps:.2f} ms a step"),
        ("... share of the time that the engine is in steps", _span(cost["in_steps"], 3)),
        (f"{idle['connections']:,} idle connections: memory before, with them", _megabytes(idle["bytes"])),
        ("... one client's wait before, with them, after", ", ".join(f"{s * 1e3:.1f} ms" for s in idle["seconds"])),
        (f"`plugtron batch`, {batch['requests']:,} requests: a second", f"{batch['requests_per_second']:.0f}"),
        ("... the engine alone", f"{batch['engine_requests_per_second']:.0f}"),
        ("... ratio", f"{batch['requests_per_second'] / batch['engine_requests_per_second']:.2f}"),
        ("... memory after a tenth, at the end", f"{_megabytes(batch['bytes'])} ({growth:+.1f} %)"),
    ]
    table = "\n".join(f"| {what} | {found} |" for what, found in rows)
    return (
        "# Serving\n\n`make bench-serve`: "
        f"{record['rounds']} rounds that alternate, {record['requests']} requests each, "
        f"prompts of 128 tokens, answers of 64; {record['minutes']:.1f} minutes.\n{versions}; {machine()}.\n"
        "Servers, load generator and engines share the cores. Medians, with the least and greatest.\n\n"
        f"| | |\n|---|---|\n{table}\n\n```json\n{json.dumps(record)}\n```\n"
    )


def machine() -> str:
    """The processor, and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    vectors = "AVX-512 VNNI" if "avx512_vnni" in flags else "AVX2" if "avx2" in flags else platform.machine()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {names[0] if names else platform.processor()} ({vectors}); load at the end {load}"
    )


def _span(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    return _span([a / b for a, b in zip(ours, theirs, strict=True)], 2)


def _megabytes(sizes: list[int]) -> str:
    return ", ".join(f"{size / 1e6:.0f} MB" for size in sizes)
