"""The dynamic engine under load, beside the static one and transformers' continuous batching, in one run.

    make bench-dynamic      # or: python benchmarks/dynamic.py [--repetitions 3] [--dtype bfloat16] [--output FILE]

Default model, two threads, greedy, end of sequence ignored, fresh prompts in every repetition.

ragged: 64 requests at once, prompts of 16 to 512 and answers of 8 to 256 tokens, 16 rows.
arrivals: 48 of the same at random, faster than 8 rows can serve them.
prefix: 16 requests with the same 512 tokens and tails of 16.
bookkeeping: what a decode step costs the host besides the model and the draw, at 16 and at 256 rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from dynamic_peers import Peer, transformers_peer
from dynamic_steps import Steps, bookkeeping, ideal_seconds

from plugtron import LLM, InferenceRequest
from plugtron.bench.replay import replay
from plugtron.bench.summary import Summary
from plugtron.bench.workload import Workload, poisson

MODEL = "smollm2-135m-instruct"
RAGGED = Workload(requests=64, prompt_tokens=(16, 512), output_tokens=(8, 256))
ARRIVALS = Workload(requests=48, prompt_tokens=(16, 512), output_tokens=(8, 256))
PREFIX = Workload(requests=16, prompt_tokens=(16, 16), output_tokens=(32, 32), shared_prefix=512)
RATE = 4.0
SECTIONS = ["bookkeeping", "prefix", "arrivals", "ragged"]


def load(engine: str, dtype: str, rows: int, **options: object) -> LLM:
    """Load the default model under an engine."""
    overrides = {f"engine.options.{name}": value for name, value in options.items()}
    return LLM(MODEL, engine=engine, dtype=dtype, overrides={"engine.options.max_batch_size": rows, **overrides})


def requests_of(workload: Workload, llm: LLM, repetition: int) -> list[InferenceRequest]:
    """The requests of a repetition."""
    parts = llm.session.parts
    assert parts.wrapper is not None
    assert parts.tokenizer is not None
    return replace(workload, seed=1234 + repetition).make(parts.wrapper.info.vocab_size, parts.tokenizer.eos_ids)


def ragged(dtype: str, repetitions: int, peers: Sequence[Peer]) -> dict[str, Any]:
    """All at once, beside the peers."""
    dynamic, static = load("dynamic", dtype, 16), load("static", dtype, 16)
    rates: dict[str, list[float]] = {"dynamic": [], "static": [], **{peer.name: [] for peer in peers}}
    record: dict[str, Any] = {"rows": 16, "full_while_waiting": [], "wall_over_ideal": [], "dynamic": [], "static": []}
    with dynamic, static:
        for repetition in range(repetitions):
            requests = requests_of(RAGGED, dynamic, repetition)
            with Steps(dynamic) as steps:
                seconds = replay(dynamic.session, requests)
            summary = Summary.of(requests, seconds)
            rates["dynamic"].append(summary.output_tokens_per_second)
            record["dynamic"].append(summary.table())
            record["full_while_waiting"].append(steps.full_while_waiting(16))
            record["wall_over_ideal"].append(seconds / ideal_seconds(dynamic, requests, steps))
            others = requests_of(RAGGED, static, repetition)
            summary = Summary.of(others, replay(static.session, others))
            rates["static"].append(summary.output_tokens_per_second)
            record["static"].append(summary.table())
            for peer in peers:
                seconds, tokens = peer.run(requests)
                rates[peer.name].append(tokens / seconds)
    return record | {"output_tokens_per_second": rates, "ratio_of_medians": ratios(rates)}


def arrivals(dtype: str, repetitions: int) -> dict[str, Any]:
    """At random, at eight rows."""
    engines = {"dynamic": load("dynamic", dtype, 8), "static": load("static", dtype, 8)}
    rates: dict[str, list[float]] = {name: [] for name in engines}
    first: dict[str, list[float]] = {name: [] for name in engines}
    for repetition in range(repetitions):
        for name, llm in engines.items():
            requests = requests_of(ARRIVALS, llm, repetition)
            due = poisson(len(requests), RATE, 1234 + repetition)
            summary = Summary.of(requests, replay(llm.session, requests, due))
            rates[name].append(summary.output_tokens_per_second)
            assert summary.time_to_first_token is not None
            first[name].append(summary.time_to_first_token.mean)
    for llm in engines.values():
        llm.close()
    return {
        "rows": 8,
        "requests_per_second": RATE,
        "output_tokens_per_second": rates,
        "mean_time_to_first_token": first,
        "ratio_of_medians": ratios(rates),
    }


def prefix(dtype: str) -> dict[str, Any]:
    """A prefix in common: the tokens that are computed, and when first tokens come, with sharing and without."""
    record: dict[str, Any] = {}
    for name, shares in (("shared", True), ("not shared", False)):
        with load("dynamic", dtype, 16, prefix_caching=shares) as llm:
            requests = requests_of(PREFIX, llm, 0)
            arrivals = [0.0] + [1.0 + 0.25 * number for number in range(len(requests) - 1)]
            with Steps(llm) as steps:
                replay(llm.session, requests, arrivals)
            times = [request.timings.time_to_first_token or 0.0 for request in requests]
            record[name] = {
                "prompt_tokens": sum(len(request.prompt_tokens) for request in requests),
                "prompt_tokens_computed": steps.prompt_tokens,
                "first_request_time_to_first_token": times[0],
                "later_requests_time_to_first_token": statistics.median(times[1:]),
            }
    return record


def ratios(rates: dict[str, list[float]]) -> dict[str, float]:
    """How the dynamic engine's median compares with each other one's."""
    own = statistics.median(rates["dynamic"])
    return {name: own / statistics.median(values) for name, values in rates.items() if name != "dynamic"}


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "dynamic.json")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    begin = time.perf_counter()
    versions = {name: version(name) for name in ("plugtron", "torch", "transformers")}
    results: dict[str, Any] = {"model": MODEL, "dtype": arguments.dtype, "threads": 2, "versions": versions}
    sections: dict[str, Callable[[], dict[str, Any]]] = {
        "bookkeeping": lambda: bookkeeping(MODEL, arguments.dtype),
        "prefix": lambda: prefix(arguments.dtype),
        "arrivals": lambda: arrivals(arguments.dtype, arguments.repetitions),
        "ragged": lambda: ragged(arguments.dtype, arguments.repetitions, [transformers_peer(MODEL, arguments.dtype)]),
    }
    for name in arguments.sections:
        results[name] = sections[name]()
        print(f"{name} ({time.perf_counter() - begin:.0f} s)\n{json.dumps(results[name], indent=2)}", flush=True)
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
