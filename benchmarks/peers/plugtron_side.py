"""plugtron, for the CPU benchmark: python plugtron_side.py MODEL DTYPE QUANTIZATION ENGINE [KV_DTYPE]."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import torch
from serve import serve

from plugtron import LLM, SamplingParams
from plugtron.contracts import ScheduledSequence, StepPlan
from plugtron.execution import DecoderWrapper
from plugtron_engines.static import StaticEngine


def main() -> None:
    """Load the model and answer."""
    model, dtype, quantization, engine, *kv_dtype = sys.argv[1:]
    options: dict[str, object] = {"engine.options.max_batch_size": 16}
    if kv_dtype:
        options["model.kv_dtype"] = kv_dtype[0]
    if engine == "dynamic":
        options["engine.options.kv_cache_memory"] = "256MiB"
        options["engine.options.prefix_caching"] = False

    def load(engine: str, options: dict[str, object]) -> LLM:
        chosen = None if quantization == "none" else quantization
        return LLM(model, dtype=dtype, engine=engine, quantization=chosen, overrides={"threads": 2, **options})

    llm = load(engine, options)

    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        params = [SamplingParams(temperature=0, ignore_eos=True, max_tokens=length) for length in lengths]
        return sum(len(answer.tokens) for answer in llm.generate(prompts, params))

    def follow(text: list[int], file: str | None) -> list[int]:
        """In static memory, where a row has its place without having been admitted."""
        with load("static", {"engine.options.max_batch_size": 1}) as own:
            engine, wrapper = own.session.engine, own.session.parts.wrapper
            assert isinstance(engine, StaticEngine)
            assert wrapper is not None
            size = len(text)
            everything = ScheduledSequence(
                slot=0, num_computed=0, num_new=size, tokens=tuple(text), reserved=size, num_logits=size
            )
            batch = wrapper.prep_inference_input(StepPlan(step=0, rows=(everything,)), engine.context)
            logits = wrapper.run_one_forward_step(batch)
            assert logits is not None, "one rank has the head"
            if file is not None:
                np.save(file, logits.numpy())
            return logits.argmax(-1).tolist()

    wrapper = llm.session.parts.wrapper
    assert isinstance(wrapper, DecoderWrapper)
    versions = {"plugtron": version("plugtron"), "torch": torch.__version__}
    serve(generate, follow, versions, wrapper.execution.weight_bytes)


if __name__ == "__main__":
    main()
