"""The default model on a CPU beside its peers, in one run: speed, quality, memory, and how near to the limit.

    make bench-cpu          # or: python benchmarks/cpu.py [--repetitions 5] [--tasks ...] [--sides ...]

Each side is a process of its own in an environment of its own; they take turns, so that what else runs on the machine
slows all of them. Prompts are fresh in every repetition and caches of prompts are off. Two threads each. A side counts
as a peer when its likeliest tokens are those of float32 in 94 % of the places of a text.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from cpu_report import markdown
from cpu_tasks import TASKS, Task, texts
from peers.environments import environment

from plugtron.models import locate

MODEL = "smollm2-135m-instruct"
HERE = Path(__file__).parent


class Side:
    """One side's process."""

    def __init__(self, name: str, command: list[str | Path]) -> None:
        self.name = name
        self.peak = 0
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=HERE / "peers",
        )
        self.versions = self._answer()["versions"]
        self.start_seconds = time.perf_counter() - begin

    def ask(self, **command: object) -> dict[str, object]:
        """Send a command, wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def seconds(self, prompts: list[list[int]], lengths: list[int]) -> float:
        """How long it takes to answer prompts with so many tokens each."""
        answer = self.ask(prompts=prompts, lengths=lengths)
        if answer["made"] != sum(lengths):
            raise RuntimeError(f"{self.name} made {answer['made']} tokens of {sum(lengths)}")
        self.peak = max(self.peak, int(str(answer["peak_bytes"])))
        return float(str(answer["seconds"]))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"'):  # what libraries print before `serve` begins is no answer
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}")


def commands(folder: Path) -> dict[str, list[str | Path]]:
    """How each side is started; makes the files that they need."""
    source = locate(MODEL)
    assert source is not None, f"plugtron fetch {MODEL} comes first"
    llama, vllm = environment("llama", folder), environment("vllm", folder)
    subprocess.run([llama, HERE / "peers" / "llama_files.py", source, folder], check=True, capture_output=True)
    dense = folder / MODEL
    if not dense.exists():
        subprocess.run([sys.executable, "-m", "plugtron", "convert", MODEL, dense], check=True, capture_output=True)
    own = [sys.executable, "plugtron_side.py", MODEL]
    return {
        "plugtron Q4_1": [*own, "auto", "native", "dynamic"],
        "plugtron int8": [*own, "auto", "int8", "dynamic"],
        "plugtron bf16": [*own, "bfloat16", "none", "dynamic"],
        "llama.cpp Q4_1": [llama, "llama_side.py", source, "1"],
        "llama.cpp Q8_0": [llama, "llama_side.py", folder / "Q8_0.gguf", "1"],
        "llama.cpp BF16": [llama, "llama_side.py", folder / "BF16.gguf", "1"],
        "vLLM bf16": [vllm, "vllm_side.py", dense, "bfloat16"],
        "transformers bf16": [sys.executable, "transformers_side.py", dense, "bfloat16"],
    }


def agreement(sides: list[Side], reference: Side) -> dict[str, dict[str, float]]:
    """The share of places in two texts where a side's likeliest token is the reference's."""
    found: dict[str, dict[str, float]] = {side.name: {} for side in sides}
    for name, text in texts(MODEL).items():
        expected = reference.ask(text=text)["tokens"]
        assert isinstance(expected, list)
        for side in sides:
            tokens = side.ask(text=text)["tokens"]
            assert isinstance(tokens, list)
            same = [one == other for one, other in zip(tokens, expected, strict=False)]
            found[side.name][name] = sum(same) / len(same)
    return found


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


def measure(task: Task, sides: list[Side], repetitions: int) -> dict[str, list[float]]:
    """Tokens a second of every side, in turns; the first round warms up and is not kept."""
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    for repetition in range(repetitions + 1):
        for side in sides:
            rate = task.rate(side.seconds)
            if repetition:
                rates[side.name].append(rate)
    return rates


def main() -> None:
    """Measure, write JSON and a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--sides", nargs="*", help="names, or beginnings of them; all by default")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "cpu.json")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    arguments = parser.parse_args()
    arguments.environments.mkdir(parents=True, exist_ok=True)
    wanted = tuple(arguments.sides or [""])
    all_commands = commands(arguments.environments)
    sides = [Side(name, command) for name, command in all_commands.items() if name.startswith(wanted)]
    dense = arguments.environments / MODEL
    reference = Side("float32", [sys.executable, "transformers_side.py", dense, "float32"])
    source = locate(MODEL)
    assert source is not None
    rates: dict[str, dict[str, list[float]]] = {}
    results: dict[str, object] = {
        "model": MODEL,
        "versions": {side.name: side.versions for side in sides},
        "read_bytes_per_second": read_rate(source.stat().st_size),
        "agreement": agreement(sides, reference),
        "ready_seconds": {side.name: side.start_seconds for side in sides},
        "tokens_per_second": rates,
    }
    reference.close()
    for name in arguments.tasks:
        rates[name] = measure(TASKS[name], sides, arguments.repetitions)
        medians = {side: round(statistics.median(values)) for side, values in rates[name].items()}
        print(f"{name}: {medians}", file=sys.stderr, flush=True)
        results["peak_bytes"] = {side.name: side.peak for side in sides}
        # After every task: a run that is ended early leaves what it has measured.
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
        arguments.output.with_suffix(".md").write_text(markdown(results))
    for side in sides:
        side.close()
    print(markdown(results))


if __name__ == "__main__":
    main()
