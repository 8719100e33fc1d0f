"""How decode grows: tokens a second by rows, and by what has been said before; the default model on a CPU.

    python benchmarks/cpu_scaling.py [--quantization as_stored] [--repetitions 3]

Writes results/cpu_scaling.json and results/cpu_scaling.png, where the limit is drawn in: a step reads every weight
once, and every row its keys and values.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from cpu import read_rate
from cpu_sides import MODEL
from cpu_tasks import prompt
from peers.environments import environment

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.execution import DecoderWrapper

HERE = Path(__file__).parent
ROWS = (1, 2, 4, 8, 16, 32, 64)
CONTEXTS = (128, 256, 512, 1024, 2048, 4096, 8000)
#: Tokens of each answer that count.
STEPS = 32


def seconds_per_step(llm: LLM, rows: int, context: int) -> float:
    """The median of the steps in which every row goes on by a token and nothing else is done."""
    engine = llm.session.engine
    params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=STEPS)
    for _ in range(rows):
        engine.add_request(InferenceRequest(prompt=prompt(context), params=params))
    taken = []
    while engine.has_unfinished_requests:
        begin = time.perf_counter()
        outputs = engine.step()
        if sum(len(output.tokens) for output in outputs) == rows:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])  # in the first of them a prompt may have ended


def main() -> None:
    """Measure, write JSON, and have it drawn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quantization", default="as_stored")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "cpu_scaling.json")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    arguments = parser.parse_args()
    overrides = {
        "threads": 2,
        "engine.options.max_batch_size": max(ROWS),
        "engine.options.max_sequence_length": 8192,
        "engine.options.kv_cache_memory": "512MiB",
        "engine.options.prefix_caching": False,
    }
    with LLM(MODEL, quantization=arguments.quantization, engine="dynamic", overrides=overrides) as llm:
        wrapper = llm.session.parts.wrapper
        assert isinstance(wrapper, DecoderWrapper)
        weight_bytes = wrapper.execution.weight_bytes
        itemsize = wrapper.runtime.dtype.itemsize
        kv_bytes = sum(2 * state.kv_heads * state.head_dim * itemsize for state in wrapper.info.states)
        points = [(rows, 128) for rows in ROWS] + [(1, context) for context in CONTEXTS]
        found = [
            {
                "rows": rows,
                "context": context,
                "read_bytes_per_second": read_rate(weight_bytes),
                "seconds_per_step": seconds_per_step(llm, rows, context),
                "bytes_per_step": weight_bytes + rows * (context + STEPS // 2) * kv_bytes,
            }
            for _ in range(arguments.repetitions)
            for rows, context in points
        ]
    arguments.output.write_text(json.dumps({"model": MODEL, "points": found}, indent=2) + "\n")
    plot = environment("plot", arguments.environments)
    subprocess.run([plot, HERE / "cpu_scaling_plot.py", arguments.output], check=True)


if __name__ == "__main__":
    main()
