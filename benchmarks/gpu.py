"""Decode, batches and prefill on a GPU, with random weights in the shapes of known models; no network.

    python benchmarks/gpu.py [--shapes llama-3.1-8b] [--device cuda]

Rates are beside what memory allows: a decode step reads every weight once, and the measured rate is that of copying
4 GiB on the device. transformers, with a static cache and compiled, stands beside plugtron where it is installed.
Writes results/gpu.json and a table to standard output.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from random_weights import SHAPES, RandomLlama

from plugtron import SamplingParams
from plugtron.execution.graph import GraphExecution
from plugtron.parallel.runtime import Runtime
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.options import DynamicOptions
from plugtron_wrappers.llama import LlamaWrapper

#: (execution, quantization) by name.
VARIANTS: dict[str, tuple[Any, Any]] = {
    "graph bf16": ("graph", None),
    "graph int8": ("graph", "int8"),
    "graph int4": ("graph", "int4"),
    "eager bf16": ("eager", None),
}
CONTEXT, TOKENS, PREFILL = 512, 128, 2048
REPETITIONS = 3

Run = Callable[[list[list[int]], int], object]


def prompt(length: int, vocabulary: int) -> list[int]:
    """Fresh ids, so that no cache helps."""
    return [random.randrange(vocabulary) for _ in range(length)]


def synchronise() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def clean() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def seconds(run: Run, rows: int, length: int, tokens: int, vocabulary: int) -> float:
    """The median time of a few runs, after one that warms up."""
    taken = []
    for _ in range(REPETITIONS + 1):
        prompts = [prompt(length, vocabulary) for _ in range(rows)]
        synchronise()
        begin = time.perf_counter()
        run(prompts, tokens)
        synchronise()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def copy_rate(device: str) -> float:
    """Bytes a second that are read and written when memory of the device is copied."""
    size = 4 << 30 if device == "cuda" else 64 << 20
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        synchronise()
        begin = time.perf_counter()
        target.copy_(source)
        synchronise()
        best = min(best, time.perf_counter() - begin)
    return 2 * size / best


def measure(run: Run, shape: str, rows: tuple[int, ...]) -> dict[str, float]:
    """Tokens a second: one row after a prompt, whole batches, and a prompt alone."""
    vocabulary = SHAPES[shape]["vocab_size"]
    first = seconds(run, 1, CONTEXT, 1, vocabulary)
    found = {
        "decode": TOKENS / (seconds(run, 1, CONTEXT, TOKENS + 1, vocabulary) - first),
        "first_token_seconds": first,
        "prefill": PREFILL / seconds(run, 1, PREFILL, 1, vocabulary),
    }
    for count in rows:
        found[f"{count} rows"] = count * TOKENS / seconds(run, count, 128, TOKENS, vocabulary)
    return found


def plugtron(shape: str, variant: str, device: str, rows: tuple[int, ...]) -> dict[str, float]:
    """Assemble from parts, and measure."""
    execution, quantization = VARIANTS[variant]
    begin = time.perf_counter()
    runtime = Runtime.create(device=device, dtype="bfloat16", execution=execution, quantization=quantization)
    wrapper = LlamaWrapper(runtime, RandomLlama(shape))
    options = DynamicOptions(
        max_batch_size=max(rows), max_sequence_length=4096, max_step_tokens=PREFILL, share_prefixes=False
    )
    engine = DynamicEngine(SimpleTextGenerationController(wrapper), options)

    def run(prompts: list[list[int]], tokens: int) -> object:
        return engine.generate(prompts, SamplingParams(temperature=0, ignore_eos=True, max_tokens=tokens))

    run([[1, 2, 3]], 2)
    synchronise()
    ready = time.perf_counter() - begin
    found = {"ready_seconds": ready, **measure(run, shape, rows), "weight_bytes": wrapper.execution.weight_bytes}
    if isinstance(wrapper.execution, GraphExecution):
        found["capture_seconds"] = wrapper.execution.capture_seconds
    engine.close()
    return found


def transformers(shape: str, device: str, rows: tuple[int, ...]) -> dict[str, float]:
    """The same shape with a static cache, compiled."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**{"rms_norm_eps": 1e-5, **SHAPES[shape]})
    begin = time.perf_counter()
    with torch.device(device):
        model: Any = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def run(prompts: list[list[int]], tokens: int) -> object:
        ids = torch.tensor(prompts, device=device)
        options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        return model.generate(ids, attention_mask=torch.ones_like(ids), cache_implementation="static", **options)

    run([[1, 2, 3]], 2)
    ready = time.perf_counter() - begin
    found = {"ready_seconds": ready, **measure(run, shape, rows)}
    embedding = 0 if config.tie_word_embeddings else model.get_input_embeddings().weight.nbytes
    torch._dynamo.reset()
    return {**found, "weight_bytes": sum(parameter.nbytes for parameter in model.parameters()) - embedding}


def main() -> None:
    """Measure, write JSON, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", nargs="*", default=["llama-3.1-8b", "llama-3.2-1b", "smollm2-135m"])
    parser.add_argument("--variants", nargs="*", default=[*VARIANTS, "transformers"])
    parser.add_argument("--rows", nargs="*", type=int, default=[1, 16, 64, 256])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    arguments = parser.parse_args()
    rate = copy_rate(arguments.device)
    clean()
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    results: dict[str, Any] = {
        "device": device,
        "torch": torch.__version__,
        "copy_bytes_per_second": rate,
        "shapes": {},
    }
    print(f"{device}, torch {torch.__version__}, copying {rate / 1e9:.0f} GB/s")
    for shape in arguments.shapes:
        own = results["shapes"][shape] = {}
        for variant in arguments.variants:
            rows = tuple(arguments.rows)
            if variant == "transformers":
                own[variant] = transformers(shape, arguments.device, rows)
            else:
                own[variant] = plugtron(shape, variant, arguments.device, rows)
            found = own[variant]
            share = found["decode"] * found["weight_bytes"] / rate
            rates = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
            print(f"{shape}, {variant}: {share:.0%} of the byte limit; {rates}", flush=True)
            arguments.output.write_text(json.dumps(results, indent=2) + "\n")
            clean()


if __name__ == "__main__":
    main()
