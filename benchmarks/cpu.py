"""The default model on a CPU beside its peers, in one run: speed, quality, memory, and how near to the limit.

    make bench-cpu          # or: python benchmarks/cpu.py [--repetitions 5] [--tasks ...] [--sides ...]

Each side is a process of its own in an environment of its own; they take turns, so that what else runs on the machine
slows all of them. Prompts are fresh in every repetition and caches of prompts are off. Two threads each. A side counts
as a peer when its likeliest tokens are those of float32 in 94 % of the places of a text. Before every round of turns
two threads read a buffer of the model's size: a round in which they are slowed by a quarter is discarded, for all
sides, and kept in the JSON. A side that is out of the running in a task's first round, which warms up the others, is
measured in that alone; one that is so with sixteen prompts sits out the long load of ragged ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from cpu_quality import measure_quality
from cpu_report import markdown
from cpu_sides import DENSE, HERE, MODEL, STATIC, Side, commands
from cpu_tasks import TASKS, Task
from peers.environments import environment

from plugtron.hub import locate

#: Rounds are discarded in which memory is slower than this share of its best.
QUIET = 0.75
#: With less than this share of the best rate a side is out of the running.
RUNNING = 0.15
#: Fresh processes of each side.
STARTS = 3
SLOW_START = 30.0


def read_rate(size: int) -> float:
    """Bytes a second when two threads read a buffer of the model's size."""
    torch.set_num_threads(2)
    buffer = torch.ones(size // 8, dtype=torch.int64)
    best = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        buffer.sum()
        best = min(best, time.perf_counter() - begin)
    return size / best


def fresh_start(command: list[str | Path]) -> dict[str, float]:
    """What a fresh process takes to its first token: seconds from its start, and bytes at the most."""
    begin = time.perf_counter()
    side = Side("fresh", command)
    answer = side.ask(prompts=[[random.randrange(100, 40_000) for _ in range(8)]], lengths=[1])
    seconds = time.perf_counter() - begin
    side.close()
    return {"seconds": seconds, "peak_bytes": answer["peak_bytes"]}


def fresh_starts(command: list[str | Path]) -> list[dict[str, float]]:
    """Several of them, or one that takes minutes."""
    first = fresh_start(command)
    return [first, *(fresh_start(command) for _ in range(STARTS - 1) if first["seconds"] < SLOW_START)]


def import_seconds() -> float:
    """How long `import torch` takes in a fresh process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - begin


def measure(task: Task, sides: list[Side], repetitions: int, size: int) -> dict[str, Any]:
    """Tokens a second of every side, in turns; the first round warms up, unless a task is so long that it need not."""
    rounds: list[dict[str, Any]] = []
    slow: dict[str, float] = {}
    if task.most > 1:
        rates = {side.name: task.rate(side.seconds) for side in sides}
        slow = {name: rate for name, rate in rates.items() if rate < RUNNING * max(rates.values())}
    for _ in range(min(repetitions, task.most)):
        reading = read_rate(size)
        rates = {side.name: task.rate(side.seconds) for side in sides if side.name not in slow}
        rounds.append({"read_bytes_per_second": reading, "tokens_per_second": rates})
    best = max(each["read_bytes_per_second"] for each in rounds)
    for each in rounds:
        each["kept"] = each["read_bytes_per_second"] >= QUIET * best
    return {"rounds": rounds, "out_of_the_running": slow}


def main() -> None:
    """Measure, write JSON and a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--sides", nargs="*", help="names, or beginnings of them; all by default")
    parser.add_argument("--only", nargs="*", default=[], metavar="SIDE=TASK,TASK", help="a side's tasks, if not all")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "cpu.json")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    arguments = parser.parse_args()
    arguments.environments.mkdir(parents=True, exist_ok=True)
    only = {side: tasks.split(",") for side, _, tasks in (each.partition("=") for each in arguments.only)}
    wanted = tuple(arguments.sides or [""])
    chosen = {name: command for name, command in commands(arguments.environments).items() if name.startswith(wanted)}
    sides = [Side(name, command) for name, command in chosen.items()]
    reference = Side("float32", [sys.executable, "transformers_side.py", arguments.environments / DENSE, "float32"])
    source = locate(MODEL)
    assert source is not None
    size = source.stat().st_size
    tasks: dict[str, Any] = {}
    results: dict[str, Any] = {
        "model": MODEL,
        "machine": _processor(),
        "versions": {side.name: side.versions for side in sides},
        "weight_bytes": {side.name: side.weight_bytes for side in sides},
        "quality": measure_quality(MODEL, sides, reference),
        "tasks": tasks,
    }
    reference.close()
    for name in arguments.tasks:
        slow = tasks.get("sixteen", {}).get("out_of_the_running", ())
        able = [s for s in sides if not (TASKS[name].ragged and (s.name.startswith(STATIC) or s.name in slow))]
        taking_part = [side for side in able if name in only.get(side.name, [name])]
        tasks[name] = measure(TASKS[name], taking_part, arguments.repetitions, size)
        rounds = [each["tokens_per_second"] for each in tasks[name]["rounds"] if each["kept"]]
        medians = {side: round(statistics.median(each[side] for each in rounds)) for side in rounds[0]}
        print(f"{name}: {medians}", file=sys.stderr, flush=True)
        # After every task: a run that is ended early leaves what it has measured.
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    for side in sides:
        side.close()
    results["starts"] = {name: fresh_starts(command) for name, command in chosen.items()}
    results["import_seconds"] = [import_seconds() for _ in range(STARTS)]
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    arguments.output.with_suffix(".md").write_text(markdown(results))
    plot = environment("plot", arguments.environments)
    subprocess.run([plot, HERE / "cpu_plot.py", arguments.output], check=True)
    print(markdown(results))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in flags.split()]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {' '.join(wide)}"


if __name__ == "__main__":
    main()
