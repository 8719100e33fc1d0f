"""What a machine can do at best, and what share of it a model reaches: reading weights, and multiplying matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from plugtron.assembly.session import Session
from plugtron.bench.replay import replay
from plugtron.bench.workload import Workload
from plugtron.errors import SpecError
from plugtron.execution.wrapper import DecoderWrapper

__all__ = ["Limits", "measure_limits"]

#: Sides of the matrices that are multiplied, tokens of the decode and, at the most, of the prompt that are measured.
_SIDE, _DECODED, _PROMPT = 768, 64, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Rates of a machine and of a model on it; a decode step reads every weight once.

    `prefill_operations`: what the model's linear layers came to in the prefill, in operations per second.
    """

    threads: int
    prompt_tokens: int
    weight_bytes: int
    read_bytes_per_second: float
    float32_operations_per_second: float
    bfloat16_operations_per_second: float
    decode_tokens_per_second: float
    prefill_tokens_per_second: float
    prefill_operations_per_second: float

    @property
    def decode_limit(self) -> float:
        """Tokens per second when weights are read as fast as memory gives them."""
        return self.read_bytes_per_second / self.weight_bytes

    def table(self) -> str:
        """The figures for reading."""
        share = self.decode_tokens_per_second / self.decode_limit
        return "\n".join(
            (
                f"{self.threads} threads read {self.read_bytes_per_second / 1e9:.1f} GB/s, and multiply matrices at "
                f"{self.float32_operations_per_second / 1e9:.0f} GFLOP/s (float32), "
                f"{self.bfloat16_operations_per_second / 1e9:.0f} GFLOP/s (bfloat16)",
                f"decode: {self.decode_tokens_per_second:.1f} tokens/s of at most {self.decode_limit:.1f} "
                f"({self.weight_bytes / 1e6:.1f} MB a step): {share:.0%}",
                f"prefill: {self.prefill_tokens_per_second:.0f} tokens/s, {self.prompt_tokens} at once: "
                f"{self.prefill_operations_per_second / 1e9:.0f} GOP/s",
            )
        )


def measure_limits(session: Session) -> Limits:
    """Measure the machine and the model in turn, and keep the best of each: what disturbs them is not theirs.

    Raises:
        SpecError: the engine refuses what is to be run, or has a model that plugtron knows nothing of.
    """
    wrapper = session.parts.wrapper
    if not isinstance(wrapper, DecoderWrapper):
        raise SpecError("the limits of this engine's model are not known")
    execution = wrapper.execution
    buffer = torch.ones(execution.weight_bytes // 8, dtype=torch.int64)
    seed, vocabulary = 0, wrapper.info.vocab_size

    def run(prompt: int, tokens: int) -> float:
        nonlocal seed
        seed += 1
        load = Workload(requests=1, prompt_tokens=(prompt, prompt), output_tokens=(tokens, tokens), seed=seed)
        (request,) = load.make(vocabulary, wrapper.info.eos_ids)
        seconds = replay(session, [request])
        if request.error is not None:
            raise SpecError(request.error)
        return seconds

    prompt = min(_PROMPT, wrapper.info.max_positions // 2)
    read = decode = prefill = float("inf")
    for _ in range(5):
        read = min(read, _seconds(buffer.sum))
        first = run(16, 1)
        decode = min(decode, (run(16, 1 + _DECODED) - first) / _DECODED)
        prefill = min(prefill, run(prompt, 1))
    return Limits(
        threads=torch.get_num_threads(),
        prompt_tokens=prompt,
        weight_bytes=execution.weight_bytes,
        read_bytes_per_second=buffer.nbytes / read,
        float32_operations_per_second=_matrix_rate(torch.float32),
        bfloat16_operations_per_second=_matrix_rate(torch.bfloat16),
        decode_tokens_per_second=1 / decode,
        prefill_tokens_per_second=prompt / prefill,
        prefill_operations_per_second=2 * prompt * execution.layer_weights / prefill,
    )


def _matrix_rate(dtype: torch.dtype) -> float:
    matrix = torch.randn(_SIDE, _SIDE).to(dtype)
    return 2 * _SIDE**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
