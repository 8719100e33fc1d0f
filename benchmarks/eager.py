"""Eager decode of the default model in bfloat16, beside transformers on the same weights, in one run.

    make bench-eager        # or: python benchmarks/eager.py [--repetitions 5] [--tokens 64] [--output FILE]

Rows of 128 prompt tokens, greedy, end of sequence ignored, two threads. A decode rate is the time of a long run less
that of a run of one token, so that prefill drops out. Repetitions alternate between the two; the table has medians
with the least and greatest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from dense import transformers_model

from plugtron import LLM, SamplingParams

MODEL = "smollm2-135m-instruct"
PROMPT = 128
ROWS = (1, 16)

Run = Callable[[list[list[int]], int], object]


def transformers_run() -> Run:
    """Generate with transformers."""
    model = transformers_model(MODEL, "bfloat16")

    def run(prompts: list[list[int]], tokens: int) -> object:
        ids = torch.tensor(prompts)
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
        )

    return run


def plugtron_run() -> Run:
    """Generate with plugtron."""
    overrides = {"execution": "eager", "engine.options.max_batch_size": max(ROWS)}
    llm = LLM(MODEL, dtype="bfloat16", overrides=overrides)

    def run(prompts: list[list[int]], tokens: int) -> object:
        return llm.generate(prompts, SamplingParams(temperature=0, ignore_eos=True, max_tokens=tokens))

    return run


def seconds(run: Run, prompts: list[list[int]], tokens: int) -> float:
    """Time one run."""
    start = time.perf_counter()
    run(prompts, tokens)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "eager.json")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    runs = {"plugtron": plugtron_run(), "transformers": transformers_run()}
    results: dict[str, object] = {"model": MODEL, "dtype": "bfloat16", "torch": torch.__version__, "threads": 2}
    for rows in ROWS:
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for repetition in range(arguments.repetitions + 1):
            prompts = torch.randint(100, 40_000, (rows, PROMPT)).tolist()  # fresh ones, so that no cache can help
            for name, run in runs.items():
                first = seconds(run, prompts, 1)
                whole = seconds(run, prompts, arguments.tokens + 1)
                if repetition:  # the first is warm-up
                    rates[name].append(rows * arguments.tokens / (whole - first))
        ratio = statistics.median(rates["plugtron"]) / statistics.median(rates["transformers"])
        results[f"rows_{rows}"] = {"tokens_per_second": rates, "ratio_of_medians": ratio}
        for name, values in rates.items():
            low, median, high = min(values), statistics.median(values), max(values)
            print(f"{rows:3} rows  {name:13} {median:7.1f} tok/s  ({low:.1f} to {high:.1f})")
        print(f"{rows:3} rows  ratio         {ratio:7.2f}")
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
