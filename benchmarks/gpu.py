"""Speed on one GPU, with random weights in the shapes of known models: no network, and under eight minutes.

    make bench-gpu          # or: python benchmarks/gpu.py [--only "llama-3.1-8b:graph int4" ...] [--rows 1 64]

Each side is a process of its own, so that memory is clean and its start is a fresh one: `ready_seconds` are from the
start of the process to the first token. Kernels that an earlier side, or run, has left in Triton's cache are not
compiled again; `kernels_compiled` says how many were. What is measured of a side:

- decode of one row after a context, prefill of a long prompt and time to first token: medians of three runs, after one
  that warms up; batches of equal prompts, once;
- seconds and memory of captured graphs, of all that were needed, with what Triton compiled for them;
- the share of a decode step in which the device idles, by the profiler's records of 50 steps, for 1 and for 64 rows;
- |a - b| / |b| of the logits of a fixed prompt against those of the same shape's `graph bf16`, if that has run; what
  rounding alone comes to, `eager bf16` shows. Weights are random: it says what kernels and formats do to them, not how
  a model would suffer.

Shares are of what the device does in the same run; gpu_bounds.py has the sums. transformers runs with a static cache
and compiled, and with continuous batching; its sides and eager ones are measured once, in the two largest batches.

Time, estimated and not yet measured: six captured sides of the largest shape 30 s each, six of the others 15 s each,
half of it their start; a minute for what Triton compiles in a first run; a side that torch compiles 40 to 90 s. Slow
sides come last, and the last of them may find no time left: when `--minutes` are up what runs is ended with what it
has, and the rest is recorded as left out. No side takes more than a quarter of it. `--minutes 14` has room for all.

On a CPU (`--device cpu --shapes tiny tiny-gpt` with TRITON_INTERPRET=1) it only shows that it runs.
Writes results/gpu.json, gpu.md and, where matplotlib is there, gpu.png; on a CPU to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpu_bounds import shares
from gpu_cases import SIZES, VARIANTS, cases
from gpu_report import markdown

HERE = Path(__file__).parent


def collect(script: str, arguments: Sequence[str], limit: float) -> dict[str, Any]:
    """Run a script and put its lines of JSON together; how it failed is in `errors`.

    `limit`: seconds after which it is ended.
    """
    record: dict[str, Any] = {}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        command = [sys.executable, script, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE)
        timer = threading.Timer(limit, process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            if found.pop("ready", False):
                found["ready_seconds"] = time.perf_counter() - begin
            for key, value in found.items():
                record[key] = {**record.get(key, {}), **value} if isinstance(value, dict) else value
        code = process.wait()
        timer.cancel()
        errors.seek(0)
        last = next((line.strip() for line in reversed(errors.readlines()) if line.strip()), "")
    if code:
        took = time.perf_counter() - begin
        reason = f"ended after {took:.0f} s" if took >= limit else f"exit code {code}: {last}"
        record["errors"] = {**record.get("errors", {}), "side": reason}
    return record


def versions() -> dict[str, str]:
    """Of what runs here."""
    found: dict[str, str] = {}
    for name in ("plugtron", "torch", "triton", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def absent() -> dict[str, str]:
    """What has no side, and why."""
    there = find_spec("megatron") is not None and find_spec("megatron.core") is not None
    reason = "installed, but nobody has written a side for its engine yet" if there else "not installed"
    return {"megatron-core": reason}


def write(results: dict[str, Any], output: Path) -> None:
    """Write JSON and tables: after every side, so that a run that is ended early leaves what it has measured."""
    output.write_text(json.dumps(results, indent=2) + "\n")
    output.with_suffix(".md").write_text(markdown(results))


def draw(output: Path) -> None:
    """Plot the results, where that can be done."""
    if find_spec("matplotlib") is None:
        print(f"matplotlib is not installed, so there is no plot; elsewhere: python gpu_plot.py {output.name}")
    else:
        subprocess.run([sys.executable, HERE / "gpu_plot.py", output], check=True)


def parse() -> argparse.Namespace:
    """Read the command line, and say what else there would be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", nargs="*", help="all but tiny ones by default")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), help="all of the largest shape by default")
    parser.add_argument("--only", nargs="*", metavar="SHAPE:VARIANT", help="these instead")
    parser.add_argument("--rows", nargs="*", type=int, help="batches")
    parser.add_argument("--device", default="cuda", choices=list(SIZES))
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    for case in arguments.only or ():
        if case.partition(":")[2] not in VARIANTS:
            parser.error(f"--only {case}: variants are {', '.join(VARIANTS)}")
    if arguments.output is None:
        on_gpu = arguments.device == "cuda"
        arguments.output = (HERE / "results" if on_gpu else Path(tempfile.mkdtemp())) / "gpu.json"
    return arguments


def main() -> None:
    """Measure side after side, write what they found, print the tables."""
    arguments = parse()
    most = 60 * arguments.minutes / 4
    deadline = time.perf_counter() + 60 * arguments.minutes
    sizes = SIZES[arguments.device]
    sizes = replace(sizes, rows=tuple(sorted(arguments.rows or sizes.rows)))
    limits = collect("gpu_limits.py", [arguments.device], most)
    if "errors" in limits:
        sys.exit(f"device {arguments.device}: {limits['errors']['side']}")
    sides: dict[str, dict[str, Any]] = {}
    results = {"versions": versions(), "limits": limits, "sizes": asdict(sizes), "absent": absent(), "sides": sides}
    chosen = [(shape, variant) for shape, _, variant in (case.partition(":") for case in arguments.only or ())]
    with tempfile.TemporaryDirectory() as references:
        for shape, variant in chosen or cases(arguments.shapes, arguments.variants):
            left = deadline - time.perf_counter()
            own = [shape, variant, arguments.device, f"{references}/{shape}.npy", *map(str, sizes.rows)]
            if left > 0:
                record = collect("gpu_side.py", own, min(most, left))
            else:
                record = {"errors": {"side": "left out: the time is up"}}
            if "weight_bytes" in record:
                record["shares"] = shares(record, limits, asdict(sizes))
            sides.setdefault(shape, {})[variant] = record
            print(f"{shape}, {variant}: {json.dumps(record)}", file=sys.stderr, flush=True)
            write(results, arguments.output)
    draw(arguments.output)
    print(arguments.output.with_suffix(".md").read_text())
    print(f"in {arguments.output}")


if __name__ == "__main__":
    main()
