"""How decode grows on a CPU: tokens a second by rows, by context, by size of the model, and by threads and ranks.

    python benchmarks/cpu_scaling.py [--only rows,context,size,threads] [--folder FOLDER] [--repetitions 3]

Rows are the default model's, in its file's blocks; the others are random weights in Q4_K_M (`random_gguf.py`), written
to `--folder` where they are not there yet: 0.1 to 8 billion weights take 8 GB. Writes results/cpu_scaling.json and
results/cpu_scaling.png, where the limit is drawn in: a step reads every weight once, and every row its keys and values.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cpu import read_rate
from cpu_sides import MODEL
from cpu_tasks import prompt
from peers.environments import environment
from random_gguf import SHAPES, write

from plugtron import LLM, SamplingParams
from plugtron.context import bytes_per_token
from plugtron.execution import DecoderWrapper
from plugtron.request import InferenceRequest

HERE = Path(__file__).parent
#: Tokens of each answer that count.
STEPS = 32


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a process measures: a model over threads and ranks, at several numbers of rows and lengths of context."""

    panel: str
    model: str
    points: tuple[tuple[int, int], ...]
    threads: int = 2
    ranks: int = 1


CASES = (
    Case(panel="rows", model=MODEL, points=tuple((rows, 128) for rows in (1, 2, 4, 8, 16, 32, 64, 128, 256))),
    Case(
        panel="context",
        model="llama-0.1b",
        points=tuple((1, context) for context in (128, 512, 2048, 8192, 16_384, 32_000)),
    ),
    *(
        Case(panel="size", model=model, points=((1, 128), (8, 128)))
        for model in ("llama-0.1b", "llama-0.4b", "llama-3.2-1b", "qwen3-4b", "llama-3.1-8b")
    ),
    *(
        Case(panel="threads", model="llama-3.2-1b", points=((1, 128),), threads=threads, ranks=ranks)
        for threads, ranks in ((1, 1), (2, 1), (1, 2))
    ),
)


def seconds_per_step(llm: LLM, rows: int, context: int) -> float:
    """The median of the steps in which every row goes on by a token and nothing else is done."""
    # The first rows still go on when the last prompt has been computed.
    params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=STEPS + _waiting(rows, context))
    if llm.session.parts.runtime.tensor.size > 1:  # the session tells the other ranks of requests
        (request,) = llm.generate([prompt(context)], params)
        return statistics.median(request.token_gaps[1:])
    engine = llm.session.engine
    for _ in range(rows):
        engine.add_request(InferenceRequest(prompt=prompt(context), params=params))
    taken = []
    while engine.has_unfinished_requests:
        begin = time.perf_counter()
        outputs = engine.step()
        if sum(len(output.tokens) for output in outputs) == rows:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])  # in the first of them a prompt may have ended


def _waiting(rows: int, context: int) -> int:
    """Tokens that a row may make while the others' prompts are computed."""
    return rows * context // 256


def measure(case: Case, source: str, repetitions: int) -> Iterator[dict[str, object]]:
    """The points of a case, each as often as is asked; long contexts once."""
    rows, longest = max(rows for rows, _ in case.points), max(context for _, context in case.points)
    overrides = {
        "threads": case.threads,
        "engine.options.max_batch_size": rows,
        "engine.options.max_sequence_length": longest + 64 + max(_waiting(*point) for point in case.points),
        "engine.options.prefix_caching": False,
        "engine.options.kv_cache_memory": "2GiB",
    }
    with LLM(
        source,
        dtype="bfloat16",
        quantization="as_stored",
        engine="dynamic",
        tensor_parallel=case.ranks,
        overrides=overrides,
    ) as llm:
        wrapper = llm.session.parts.wrapper
        assert isinstance(wrapper, DecoderWrapper)
        weight_bytes = wrapper.execution.weight_bytes * case.ranks
        kv_bytes = bytes_per_token(wrapper.info) * case.ranks
        for rows, context in case.points:
            for _ in range(1 if context > 4096 else repetitions):
                yield {
                    "panel": case.panel,
                    "model": case.model,
                    "threads": case.threads,
                    "ranks": case.ranks,
                    "rows": rows,
                    "context": context,
                    "weight_bytes": weight_bytes,
                    "read_bytes_per_second": read_rate(weight_bytes),
                    "seconds_per_step": seconds_per_step(llm, rows, context),
                    "bytes_per_step": weight_bytes + rows * (context + STEPS // 2) * kv_bytes,
                }


def main() -> None:
    """Measure, write JSON, and have it drawn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="rows,context,size,threads")
    parser.add_argument("--models", default="", help="of the sizes these alone")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "plugtron-random")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "cpu_scaling.json")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    asked = parser.parse_args()
    found: list[dict[str, object]] = []
    models = asked.models.split(",") if asked.models else [case.model for case in CASES]
    for case in CASES:
        if case.panel not in asked.only.split(",") or case.model not in models:
            continue
        source = case.model
        if case.model in SHAPES:
            asked.folder.mkdir(exist_ok=True)
            file = asked.folder / f"{case.model}.gguf"
            if not file.exists():
                write(SHAPES[case.model], file)
            source = str(file)
        for point in measure(case, source, asked.repetitions):
            found.append(point)
            print(json.dumps(point), file=sys.stderr, flush=True)
    asked.output.write_text(json.dumps({"points": found}, indent=1) + "\n")
    plot = environment("plot", asked.environments)
    subprocess.run([plot, HERE / "cpu_scaling_plot.py", asked.output], check=True)


if __name__ == "__main__":
    main()
