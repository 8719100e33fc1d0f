"""plugtron's sides of the GPU benchmark: assembled from parts, over random weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gpu_cases import Sizes, Variant
from gpu_measures import Measure, Timer, measures
from random_weights import RandomModel
from torch.profiler import DeviceType, ProfilerActivity, profile

from plugtron import InferenceRequest, SamplingParams
from plugtron.context import StaticInferenceContext, bytes_per_token
from plugtron.contracts import Runtime, ScheduledSequence, StepPlan
from plugtron.execution import DecoderWrapper, EagerBackend, GraphBackend
from plugtron.execution.graph import GraphExecution
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.options import DynamicOptions
from plugtron_wrappers.gpt import GPTWrapper
from plugtron_wrappers.llama import LlamaWrapper

__all__ = ["PlugtronSide"]

#: Steps that are watched for gaps, and the batches that they are of.
_WATCHED = 50
_WATCHED_ROWS = (1, 64)


class PlugtronSide:
    """A dynamic engine of one model. `reference`: the file of the logits that others' are compared with."""

    def __init__(self, shape: str, variant: Variant, device: str, sizes: Sizes, reference: Path) -> None:
        self._variant, self._sizes, self._reference = variant, sizes, reference
        self._captures = variant.kind == "graph" and device == "cuda"
        self._compiled_before = _compiled()
        self._model = RandomModel(shape)
        execution = GraphBackend() if variant.kind == "graph" else EagerBackend()
        runtime = Runtime.create(device=device, dtype=sizes.dtype, in_order=variant.options.deterministic)
        family = LlamaWrapper if self._model.configuration["model_type"] == "llama" else GPTWrapper
        self._wrapper: DecoderWrapper = family(
            runtime, self._model, model_options=replace(variant.options, execution=execution)
        )
        self._options = DynamicOptions(
            max_batch_size=max(sizes.rows),
            max_sequence_length=sizes.longest,
            max_step_tokens=sizes.prefill,
            prefix_caching=False,
        )
        self._engine = DynamicEngine(SimpleTextGenerationController(self._wrapper), self._options)

    def run(self, prompts: list[list[int]], tokens: int) -> object:
        """Answer prompts greedily."""
        return self._engine.generate(prompts, _answer(tokens))

    def facts(self) -> dict[str, object]:
        """What bounds are made of, and what the first token took beside its computation."""
        return {
            "weight_bytes": self._wrapper.execution.weight_bytes,
            "layer_weights": self._model.layer_weights,
            "head_weights": self._model.head_weights,
            "kv_bytes_per_token": bytes_per_token(self._wrapper.info),
            "kernels_compiled": _compiled() - self._compiled_before,
        }

    def measures(self) -> Iterator[tuple[str, Measure]]:
        """All that is measured, by name, in order."""
        timer = Timer(run=self.run, vocabulary=self._vocabulary, warm=self._warm)
        yield from measures(timer, self._sizes)
        yield "capture", self._capture
        if self._captures:
            for rows in _WATCHED_ROWS:
                if rows <= max(self._sizes.rows):
                    yield f"gaps, {rows} rows", lambda rows=rows: {"idle": {str(rows): self._idle_share(rows)}}
        # Last, because it takes memory of its own, over which what has been captured does not run.
        yield "logits", self._logit_error

    @property
    def _vocabulary(self) -> int:
        return self._wrapper.info.vocab_size

    def _warm(self, rows: int, tokens: int) -> int:
        """Enough for a step of all rows: prompts are taken up a few in a step, and the first go on meanwhile."""
        del tokens
        return -(-rows * self._sizes.prompt // self._options.max_step_tokens) + 3

    def _logit_error(self) -> dict[str, object]:
        """|a - b| / |b| over the logits of a fixed prompt; captured bfloat16 leaves its own for the others."""
        if self._variant == Variant():
            np.save(self._reference, self._logits().numpy())
            return {}
        if not self._reference.exists():
            return {}
        own = self._logits()
        reference = torch.from_numpy(np.load(self._reference))
        error = torch.linalg.vector_norm(own - reference) / torch.linalg.vector_norm(reference)
        return {"logit_error": float(error)}

    def _logits(self) -> torch.Tensor:
        """Those after every token [N, V] in float32, in memory where a row has its place without being admitted."""
        size = self._sizes.prompt
        tokens = tuple((7919 * number + 1) % self._vocabulary for number in range(size))
        context = StaticInferenceContext(self._wrapper.info, self._wrapper.runtime, slots=1, max_length=size)
        row = ScheduledSequence(slot=0, num_computed=0, num_new=size, tokens=tokens, reserved=size, num_logits=size)
        batch = self._wrapper.prep_inference_input(StepPlan(step=0, rows=(row,)), context)
        logits = self._wrapper.run_one_forward_step(batch)
        assert logits is not None, "one rank has the head"
        return logits.cpu()

    def _capture(self) -> dict[str, object]:
        """What capturing took, of all steps that have been captured by now."""
        execution = self._wrapper.execution
        if not isinstance(execution, GraphExecution):
            return {}
        return {"capture_seconds": execution.capture_seconds, "capture_bytes": execution.capture_bytes}

    def _idle_share(self, rows: int) -> float:
        """How much of a while of decode steps the device does nothing, between replays and within them.

        The profiler's own records cost it a little too, so this is what it is at the most.
        """
        # torch says the same where it finds CUDA graphs of its own: the second profile of a process may crash else.
        os.environ |= {"DISABLE_CUPTI_LAZY_REINIT": "1", "TEARDOWN_CUPTI": "0"}
        prompts = [[row + 1] * self._sizes.prompt for row in range(rows)]
        requests = [InferenceRequest(prompt=prompt, params=_answer(_WATCHED + 32)) for prompt in prompts]
        for request in requests:
            self._engine.add_request(request)
        while not all(len(request.tokens) > 1 for request in requests):
            self._engine.step()
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            for _ in range(_WATCHED):
                self._engine.step()
            torch.cuda.synchronize()
        while self._engine.has_unfinished_requests:
            self._engine.step()
        events = [event for event in profiler.events() or () if event.device_type == DeviceType.CUDA]
        return idle_share([(event.time_range.start, event.time_range.end) for event in events])


def idle_share(spans: list[tuple[float, float]]) -> float:
    """The share of the time from the first beginning to the last end in which none of the spans is."""
    busy, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        busy += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return 1 - busy / (until - min(begin for begin, _ in spans))


def _answer(tokens: int) -> SamplingParams:
    return SamplingParams(temperature=0, ignore_eos=True, max_tokens=tokens)


def _compiled() -> int:
    """How much Triton has compiled for this user so far."""
    from triton import knobs

    folder = Path(knobs.cache.dir)
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
