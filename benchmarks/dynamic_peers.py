"""Others that batch continuously, over the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dense import transformers_model
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from plugtron import InferenceRequest

__all__ = ["Peer", "transformers_peer"]


@dataclass(frozen=True)
class Peer:
    """`run` answers prompts of ids, all at once, with `max_tokens` each; it returns seconds and tokens generated."""

    name: str
    run: Callable[[Sequence[InferenceRequest]], tuple[float, int]]


def transformers_peer(model: str, dtype: str) -> Peer:
    """transformers' continuous batching, 16 rows at once, in pages that a CPU can hold."""
    loaded = transformers_model(model, dtype)

    def run(requests: Sequence[InferenceRequest]) -> tuple[float, int]:
        longest = max(request.params.max_tokens or 0 for request in requests)
        generation = GenerationConfig(max_new_tokens=longest, do_sample=False, eos_token_id=-1, pad_token_id=0)
        # Pages of its default size, which were a little faster here than those of 16.
        batching = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=512, max_requests_per_batch=16)
        manager = loaded.init_continuous_batching(generation_config=generation, continuous_batching_config=batching)
        begin = time.perf_counter()
        manager.start()
        for request in requests:
            most = request.params.max_tokens
            manager.add_request(request.prompt_tokens, request_id=f"{request.index}", max_new_tokens=most)
        tokens, open_requests = 0, len(requests)
        while open_requests:
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                tokens += len(result.generated_tokens)
                open_requests -= 1
        seconds = time.perf_counter() - begin
        manager.stop(block=True)
        return seconds, tokens

    return Peer("transformers continuous batching", run)
