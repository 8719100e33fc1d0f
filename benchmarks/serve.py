"""The server under load, beside llama.cpp's own and beside the engine without HTTP, in one run.

    make bench-serve     # or: python benchmarks/serve.py [--rounds 3] [--requests 48] [--batch 10000] [--output FILE]

Default model, its file's own blocks, two threads, 16 rows, greedy, prompts of 128 tokens and answers of 64, none of
them shared. Sides alternate within a round; medians of the rounds. guidellm makes the load; a small client of its own
asks where the cost of HTTP is measured, because guidellm takes more of a core than that is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from cpu_sides import Side
from peers.environments import environment
from serve_batch import BATCH_SETTINGS, run_batch, short_prompts
from serve_load import GuideLLM, idle_connections, streamed_seconds
from serve_report import write_report
from serve_sides import MODEL, ROWS, Served, plugtron_server, resident_bytes, xllamacpp_server

from plugtron import LLM, SamplingParams

HERE = Path(__file__).parent
PROMPT, ANSWER, RATE = 128, 64, 4
IDLE, ASKED = 1000, 20
SHORT_PROMPT, SHORT_ANSWER = 8, 4


def throughput(
    ours: Served, theirs: Served, load: GuideLLM, offline: Side, rounds: int, requests: int
) -> dict[str, Any]:
    """16 clients at once: output tokens a second."""
    rates: dict[str, list[float]] = {"plugtron serve": [], "llama-server": [], "LLM.generate": []}
    many = {"requests": requests, "prompt": PROMPT, "answer": ANSWER}
    for number in range(rounds):
        for name, side in (("plugtron serve", ours), ("llama-server", theirs)):
            found = load.run(side.url, f"kind=concurrent,streams={ROWS}", seed=number, **many)
            rates[name].append(found.output_tokens_per_second)
        prompts = short_prompts(requests, PROMPT, number)
        rates["LLM.generate"].append(requests * ANSWER / offline.seconds(prompts, [ANSWER] * requests))
    return rates


def first_token(ours: Served, theirs: Served, load: GuideLLM, rounds: int, requests: int) -> dict[str, Any]:
    """4 requests a second: mean time to the first token."""
    times: dict[str, list[float]] = {"plugtron serve": [], "llama-server": []}
    for number in range(rounds):
        for name, side in (("plugtron serve", ours), ("llama-server", theirs)):
            profile = f"kind=poisson,rate={RATE}"
            many = {"requests": requests, "prompt": PROMPT, "answer": ANSWER, "seed": 100 + number}
            times[name].append(load.run(side.url, profile, **many).mean_first_token)
    return times


def cost(ours: Served, offline: Side, rounds: int, requests: int) -> dict[str, list[float]]:
    """The same prompts streamed and without HTTP: seconds, and what of a served second the steps take."""
    found: dict[str, list[float]] = {"served": [], "offline": [], "in_steps": [], "steps": []}
    for number in range(rounds):
        prompts = short_prompts(requests, PROMPT, 200 + number)
        before = ours.get("/plugtron/state")["stats"]
        seconds = streamed_seconds(ours.url, prompts, ANSWER, ROWS)
        after = ours.get("/plugtron/state")["stats"]
        found["served"].append(seconds)
        found["in_steps"].append((after["step_seconds"] - before["step_seconds"]) / seconds)
        found["steps"].append(after["steps"] - before["steps"])
        found["offline"].append(offline.seconds(prompts, [ANSWER] * requests))
    return found


def idle(ours: Served) -> dict[str, Any]:
    """1,000 connections that ask for nothing: memory, and how long one client waits, without them and with them."""

    def wait() -> float:
        times = []
        for _ in range(ASKED):
            begin = time.perf_counter()
            ours.post("/v1/completions", {"prompt": [504, 3575, 282], "max_tokens": 1})
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    record: dict[str, Any] = {"bytes": [resident_bytes(ours.process.pid)], "seconds": [wait()]}
    with idle_connections(ours.url, IDLE) as connections:
        record["bytes"].append(resident_bytes(ours.process.pid))
        record["seconds"].append(wait())
        record["connections"] = len(connections)
    record["seconds"].append(wait())
    return record


def batch(count: int, scratch: Path) -> dict[str, Any]:
    """`plugtron batch` over short prompts, and the engine on the first of them."""
    prompts = short_prompts(count, SHORT_PROMPT, 300)
    own = prompts[: max(64, count // 5)]
    overrides = {name: value for name, value in BATCH_SETTINGS.items() if not name.startswith("model.")}
    overrides["engine.options.prefix_caching"] = False
    params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=SHORT_ANSWER)
    with LLM(MODEL, engine="dynamic", dtype="bfloat16", quantization="as_stored", overrides=overrides) as llm:
        llm.generate(prompts[:64], params)
        begin = time.perf_counter()
        llm.generate(own, params)
        rate = len(own) / (time.perf_counter() - begin)
    found = run_batch(prompts, SHORT_ANSWER, scratch)
    return {
        "requests": count,
        "requests_per_second": found.requests / found.seconds,
        "engine_requests_per_second": rate,
        "bytes": [found.first_bytes, found.last_bytes],
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=48, help="of each measurement")
    parser.add_argument("--batch", type=int, default=10_000, help="lines of the batch")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "serve.md")
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    asked = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        record = measure(asked, Path(folder))
    record["minutes"] = (time.perf_counter() - begin) / 60
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    report = write_report(record)
    asked.output.write_text(report)
    print(report)


def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All sections."""
    subprocess.run([sys.executable, "-m", "plugtron", "convert", MODEL, scratch / "model"], check=True)
    load = GuideLLM(environment("guidellm", asked.environments), scratch / "model", scratch)
    record: dict[str, Any] = {"rounds": asked.rounds, "requests": asked.requests}
    with closing(plugtron_server(scratch / "log")) as ours:
        with (
            closing(xllamacpp_server(asked.environments)) as theirs,
            closing(
                Side("offline", [sys.executable, "plugtron_side.py", MODEL, "bfloat16", "as_stored", "dynamic"])
            ) as own,
        ):
            record["versions"] = {**ours.versions, **theirs.versions, "guidellm": load.version}
            for side in (ours, theirs):  # warm
                load.run(side.url, f"kind=concurrent,streams={ROWS}", requests=ROWS, prompt=PROMPT, answer=8, seed=99)
            own.seconds(short_prompts(ROWS, PROMPT, 99), [8] * ROWS)
            record["rates"] = throughput(ours, theirs, load, own, asked.rounds, asked.requests)
            record["first_token"] = first_token(ours, theirs, load, asked.rounds, asked.requests)
            record["cost"] = cost(ours, own, asked.rounds, asked.requests)
        record["idle"] = idle(ours)
    record["batch"] = batch(asked.batch, scratch)
    return record


if __name__ == "__main__":
    main()
