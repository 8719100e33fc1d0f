"""What requests ask for beside plain text: drafts, grammars, scores; each beside what it competes with.

    make bench-requests     # or: python benchmarks/per_request.py [--repetitions 5] [--output FILE]

Sides alternate within a repetition; the table has the median of the ratios with the least and greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from dense import transformers_model
from serve_sides import xllamacpp_server

from plugtron import LLM, SamplingParams

MODEL = "smollm2-135m-instruct"
CODE = """class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def add(self, other):
        return Point(self.x + other.x, self.y + other.y)
"""
#: Texts that the model goes on to copy, and texts that it goes on from.
COPIED = [
    f"{CODE}\n# The same file again:\n\n{CODE}\n# The same file again:\n\n",
    "The quick brown fox jumps over the lazy dog near the old stone bridge.\n" * 5,
    "Names: " + ", ".join(f"person{at}" for at in range(20)) + "\nNames: person0, person1, person2,",
]
FRESH = ["Once upon a time", "The history of the Roman Empire", "My favorite recipe is"]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["name", "age", "tags"],
}

#: Where peers have their virtual environments.
ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "plugtron" / "peers"

Side = Callable[[], object]


def llm(**overrides: object) -> LLM:
    """The default model with its file's own weights, over the dynamic engine, without shared prefixes."""
    given = {"engine.options.max_sequence_length": 1024, "engine.options.prefix_caching": False, **overrides}
    return LLM(MODEL, dtype="bfloat16", quantization="as_stored", engine="dynamic", overrides=given)


def drafts() -> dict[str, tuple[Side, Side]]:
    """Plain decode beside decode with lookup: one request after the other."""
    plain, drafting = llm(), llm(controller="speculative")

    def run(model: LLM, texts: list[str], temperature: float) -> Side:
        params = SamplingParams(temperature=temperature, seed=3, max_tokens=128, ignore_eos=True)
        return lambda: [model.generate(text, params).tokens for text in texts]

    return {
        f"lookup, {name}": (run(plain, texts, heat), run(drafting, texts, heat))
        for name, texts, heat in (("copied text", COPIED, 0), ("new text", FRESH, 0), ("new text, drawn", FRESH, 1))
    }


def peers() -> dict[str, tuple[Side, Side]]:
    """Prompt lookup of llama.cpp's server, each kind that it has, beside ours, on text that is copied."""
    params = SamplingParams(temperature=0, max_tokens=128, ignore_eos=True)
    drafting = llm(controller="speculative")

    def ours() -> object:
        return [drafting.generate(text, params).tokens for text in COPIED]

    def theirs(drafts: str) -> Side:
        server = xllamacpp_server(ENVIRONMENTS, slots=1, drafts=drafts)
        body = {"n_predict": 128, "temperature": 0, "ignore_eos": True}
        return lambda: [server.post("/completion", {**body, "prompt": text}) for text in COPIED]

    kinds = ("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache")
    return {f"lookup, copied text, llama.cpp's {kind}": (theirs(kind), ours) for kind in kinds}


def scores() -> dict[str, tuple[Side, Side]]:
    """1,000 continuations of 20 prompts of 100 tokens in float32, beside transformers, a batch of 50 at a time."""
    model = LLM(MODEL, dtype="float32", engine="dynamic", overrides={"engine.options.max_sequence_length": 256})
    reference = transformers_model(MODEL, "float32")
    runs = count()

    def pairs(run: int) -> list[tuple[list[int], list[int]]]:
        """Other prompts in each run, so that none finds what the one before has left."""
        prompts = [[(97 * row + 7 * at + 131 * run) % 40000 + 100 for at in range(100)] for row in range(20)]
        return [(prompt, [(31 * at + 5 * step) % 40000 for step in range(4)]) for prompt in prompts for at in range(50)]

    def ours() -> object:
        given = pairs(next(runs))
        return model.score([prompt for prompt, _ in given], [each for _, each in given])

    @torch.inference_mode()
    def theirs() -> object:
        found, given = [], pairs(next(runs))
        for first in range(0, len(given), 50):
            ids = torch.tensor([[*prompt, *each] for prompt, each in given[first : first + 50]])
            values = reference(ids, logits_to_keep=5).logits[:, :-1].log_softmax(-1)
            found.append(values.gather(2, ids[:, -4:, None]))
        return found

    return {"1,000 continuations, beside transformers": (theirs, ours)}


def grammars() -> dict[str, tuple[Side, Side]]:
    """16 rows drawn as they come, beside 16 that a JSON schema constrains; seconds a step."""
    model = llm()
    texts = [f"Person {at}:" for at in range(16)]
    params = {"temperature": 1.0, "seed": 1, "max_tokens": 48, "ignore_eos": True, "stop_token_ids": [2]}

    def run(more: dict[str, object]) -> Side:
        def side() -> object:
            before = model.session.engine.stats
            start = time.perf_counter()
            model.generate(texts, {**params, **more})
            after = model.session.engine.stats
            assert before is not None
            assert after is not None
            return (time.perf_counter() - start) / (after.steps - before.steps)

        return side

    return {"a step of 16 rows, without and with a schema": (run({}), run({"json_schema": SCHEMA}))}


def ratio(first: Side, second: Side) -> float:
    """How many times as long the first takes; sides that return seconds have measured themselves."""
    times = []
    for side in (first, second):
        start = time.perf_counter()
        found = side()
        times.append(found if isinstance(found, float) else time.perf_counter() - start)
    return times[0] / times[1]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help="tasks whose name begins so: drafts, grammars, peers, scores")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "per_request.json")
    options = parser.parse_args()
    torch.set_num_threads(2)
    found: dict[str, list[float]] = {}
    for task in (drafts, grammars, peers, scores):
        if not task.__name__.startswith(options.only):
            continue
        for name, sides in task().items():
            ratio(*sides)
            found[name] = [ratio(*sides) for _ in range(options.repetitions)]
            values = found[name]
            print(f"{name:50} {statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})", flush=True)
    options.output.write_text(json.dumps({"torch": torch.__version__, "ratios": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
