"""The chain and the draw on a CPU, for rows of a large vocabulary: stage by stage, and in one pass of native kernels.

    make bench-sampling     # or: python benchmarks/sampling.py [--rows 64] [--vocabulary 128000] [--output FILE]

Sides alternate within a repetition; the table has the least and the median in ms, and the median of the ratios to a
float32 softmax or an argmax of numpy over the same logits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from plugtron.contracts import Candidates, Runtime
from plugtron.contracts.execution import ModelOptions
from plugtron.kernels import SamplingChoice, on_one_thread
from plugtron.testing.requests import sequence_of
from plugtron_controllers.chain import Chain
from plugtron_controllers.fused import FusedDraw
from plugtron_controllers.sampling import draw_greedily
from plugtron_samplers.allowed_tokens import AllowedTokens
from plugtron_samplers.dry import Dry
from plugtron_samplers.dynamic_temperature import DynamicTemperature
from plugtron_samplers.epsilon_cutoff import EpsilonCutoff
from plugtron_samplers.eta_cutoff import EtaCutoff
from plugtron_samplers.logit_bias import LogitBias
from plugtron_samplers.min_p import MinP
from plugtron_samplers.min_tokens import MinTokens
from plugtron_samplers.mirostat import Mirostat
from plugtron_samplers.no_repeat_ngram import NoRepeatNgram
from plugtron_samplers.penalties import Penalties
from plugtron_samplers.temperature import Temperature
from plugtron_samplers.top_k import TopK
from plugtron_samplers.top_n_sigma import TopNSigma
from plugtron_samplers.top_p import TopP
from plugtron_samplers.typical_p import TypicalP
from plugtron_samplers.xtc import XTC

BANS = {"logit_bias": {101: "-inf", 120: 2.0, 5000: -1.0}, "min_tokens": 100_000, "stop_token_ids": [2]}
BANS |= {"no_repeat_ngram_size": 3}
PENALTIES = {"repetition_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.05, "dry_multiplier": 0.7}
CUTS = {"top_n_sigma": 3.5, "min_p": 1e-3, "typical_p": 0.97, "top_p": 0.95, "epsilon_cutoff": 1e-4, "eta_cutoff": 1e-4}
REST = {"temperature": 0.9, "dynatemp_range": 0.4, "xtc_probability": 0.5, "mirostat": 2}
ALLOWED = {"allowed_token_ids": list(range(0, 49_000, 3))}
#: What requests ask for, and what one is measured in.
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "all, top_k 64": ("softmax", BANS | PENALTIES | CUTS | REST | ALLOWED | {"top_k": 64}),
    "all, top_k 1000": ("softmax", BANS | PENALTIES | CUTS | REST | ALLOWED | {"top_k": 1000}),
    "all, no top_k": ("softmax", BANS | PENALTIES | CUTS | REST | ALLOWED),
    "temperature, top_k 40, top_p, min_p": ("softmax", {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}),
    "temperature, top_p": ("softmax", {"temperature": 0.8, "top_p": 0.95}),
    "temperature": ("softmax", {"temperature": 0.8}),
    "typical_p": ("softmax", {"typical_p": 0.9}),
    "greedy": ("argmax", {"temperature": 0}),
    "greedy, biases and bans": ("argmax", BANS | {"temperature": 0}),
    "greedy, biases, bans, penalties": ("argmax", BANS | PENALTIES | {"temperature": 0}),
}

Side = Callable[[], object]


def chain_of(vocabulary: int, sampling: SamplingChoice) -> Chain:
    """The stages of the default chain that need no tokenizer's texts, in its order."""
    cpu = torch.device("cpu")
    stages = [AllowedTokens(vocabulary, cpu), MinTokens((2,), cpu), NoRepeatNgram(vocabulary, cpu)]
    stages += [LogitBias(vocabulary, cpu), Penalties(vocabulary, cpu), Dry(None, vocabulary, cpu)]
    stages += [DynamicTemperature(cpu), Temperature(cpu), TopNSigma(cpu), TopK(cpu, sampling), MinP(cpu), TypicalP(cpu)]
    stages += [TopP(cpu, sampling), EpsilonCutoff(cpu), EtaCutoff(cpu), XTC(cpu), Mirostat(cpu)]
    return Chain(stages, vocabulary)


def side(params: Mapping[str, Any], logits: torch.Tensor, sampling: SamplingChoice, *, fused: bool) -> Side:
    """One step of rows that all ask for these parameters, after prompts of 256 tokens."""
    rows, vocabulary = logits.shape
    chain, slots = chain_of(vocabulary, sampling), torch.arange(rows)
    greedy = torch.full((rows,), params.get("temperature") == 0)
    assert sampling.chain is not None
    assert sampling.kernels is not None
    kernels = sampling.kernels
    if fused:
        chain.fused = FusedDraw(sampling.chain, slots + 7, greedy)
    for slot in range(rows):
        prompt = torch.randint(0, vocabulary, (256,), generator=torch.Generator().manual_seed(slot)).tolist()
        chain.add(slot, sequence_of(params, slot=slot, prompt=prompt, seed=slot + 7))
    candidates = Candidates(
        logits=logits, ids=None, slots=slots, positions=torch.full((rows,), 256), slot_ids=tuple(range(rows))
    )

    def draw(left: Candidates) -> torch.Tensor:
        if greedy[0]:
            return draw_greedily(left)
        return kernels.draw(left.logits, left.ids, slots + 7, left.positions, greedy[: len(left.slot_ids)])

    def step() -> None:
        with on_one_thread(candidates.positions if fused else logits):  # as the controller does
            _, _, failures = chain.run(candidates, draw, keep=False)
        assert not failures, failures

    return step


def alternate(sides: Mapping[str, Side], repetitions: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds of each, one after the other in each repetition."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for at in range(repetitions + 2):
        for name, run in sides.items():
            start = clock()
            run()
            if at >= 2:
                times[name].append((clock() - start) * 1e3)
    return times


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=128_000)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="with 1, processor time is measured: others may work")
    parser.add_argument("--fused", action="store_true", help="leave out the chain that goes stage by stage")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "sampling.json")
    options = parser.parse_args()
    sampling = SamplingChoice(Runtime.create(threads=options.threads), ModelOptions())
    logits: torch.Tensor = 3 * torch.randn(options.rows, options.vocabulary, generator=torch.Generator().manual_seed(1))
    units: dict[str, Side] = {"softmax": lambda: logits.softmax(1), "argmax": lambda: logits.numpy().argmax(1)}
    found: dict[str, dict[str, float]] = {}
    for name, (unit, params) in CASES.items():
        if not name.startswith(options.only):
            continue
        sides = {unit: units[unit]}
        for each in ("fused",) if options.fused else ("staged", "fused"):
            sides[each] = side(params, logits, sampling, fused=each == "fused")
        clock = time.thread_time if options.threads == 1 else time.perf_counter
        times = alternate(sides, options.repetitions, clock)
        ratios = {
            each: statistics.median(a / b for a, b in zip(times[each], times[unit], strict=True)) for each in times
        }
        found[name] = {f"{each} ms": statistics.median(times[each]) for each in times} | ratios
        found[name] |= {f"{each} least ms": min(times[each]) for each in times}
        said = [
            f"{each} {min(own):7.2f} to {statistics.median(own):7.2f} ({ratios[each]:5.2f})"
            for each, own in times.items()
        ]
        print(f"{name:36} {'  '.join(said)}", flush=True)
    options.output.write_text(json.dumps({"torch": torch.__version__, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
