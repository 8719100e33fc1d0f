"""ONNX Runtime GenAI, for the CPU benchmark: python onnxruntime_side.py FOLDER. Batches of equal lengths."""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import onnxruntime_genai as genai
from serve import serve


def main() -> None:
    """Load the model and answer."""
    folder = sys.argv[1]
    model = genai.Model(genai.Config(folder))

    def begin(prompts: list[list[int]], length: int) -> genai.Generator:
        """A batch of prompts that are equally long, `length` with what is to come."""
        params = genai.GeneratorParams(model)
        params.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=len(prompts))
        generator = genai.Generator(model, params)
        generator.append_tokens(np.array(prompts, dtype=np.int32))
        return generator

    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        for some, most in _batches(prompts, lengths):
            generator = begin(some, len(some[0]) + most)
            for _ in range(most):
                generator.generate_next_token()
        return sum(lengths)

    def follow(text: list[int], file: str | None) -> list[int]:
        logits = begin([text], len(text) + 1).get_output("logits")[0]
        if file is not None:
            np.save(file, logits.astype(np.float32))
        return logits.argmax(-1).tolist()

    weight_bytes = Path(folder, "model.onnx.data").stat().st_size
    serve(generate, follow, {"onnxruntime-genai": version("onnxruntime-genai")}, weight_bytes)


def _batches(prompts: list[list[int]], lengths: list[int]) -> Iterator[tuple[list[list[int]], int]]:
    """Sixteen of the same length at the most, as long as the longest of their answers."""
    order = sorted(zip(prompts, lengths, strict=True), key=lambda entry: len(entry[0]))
    for _, equal in groupby(order, key=lambda entry: len(entry[0])):
        entries = list(equal)
        for first in range(0, len(entries), 16):
            some = entries[first : first + 16]
            yield [prompt for prompt, _ in some], max(length for _, length in some)


if __name__ == "__main__":
    main()
