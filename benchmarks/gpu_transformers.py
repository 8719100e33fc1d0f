"""transformers' sides of the GPU benchmark: random weights of its own making in the same shapes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from gpu_cases import Sizes, Variant
from gpu_measures import Measure, Timer, measures
from random_weights import RandomModel
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

__all__ = ["TransformersSide"]


class TransformersSide:
    """With a static cache, for which its decode is compiled on a GPU, or with continuous batching."""

    def __init__(self, shape: str, variant: Variant, device: str, sizes: Sizes) -> None:
        self._model = RandomModel(shape)
        self._device = device
        self._continuous = variant.kind == "continuous"
        self._sizes = sizes
        config = AutoConfig.for_model(**self._model.configuration)
        with torch.device(device):
            self._loaded: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, sizes.dtype)).eval()
        # Nothing ends an answer early, and nothing looks out for what could.
        self._loaded.generation_config.eos_token_id = None
        self._workload = (0, 0, 0)

    def run(self, prompts: list[list[int]], tokens: int) -> object:
        """Answer prompts greedily."""
        workload = (len(prompts), len(prompts[0]), tokens)
        return (self._run_continuously if self._continuous else self._run_static)(prompts, tokens, workload)

    def facts(self) -> dict[str, object]:
        """What bounds are made of."""
        config = self._loaded.config
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        numbers = 2 * config.num_hidden_layers * heads * (config.hidden_size // config.num_attention_heads)
        looked_up = 0 if config.tie_word_embeddings else self._loaded.get_input_embeddings().weight.nbytes
        return {
            "weight_bytes": sum(parameter.nbytes for parameter in self._loaded.parameters()) - looked_up,
            "layer_weights": self._model.layer_weights,
            "head_weights": self._model.head_weights,
            "kv_bytes_per_token": numbers * self._loaded.dtype.itemsize,
        }

    def measures(self) -> Iterator[tuple[str, Measure]]:
        """All that is measured, by name, in order; warmed up by the very same, so that nothing is compiled later."""
        vocabulary = self._model.configuration["vocab_size"]
        timer = Timer(run=self.run, vocabulary=vocabulary, warm=lambda _, tokens: tokens)
        yield from measures(timer, self._sizes)

    @torch.inference_mode()
    def _run_static(self, prompts: list[list[int]], tokens: int, workload: tuple[int, int, int]) -> object:
        if workload[:2] != self._workload[:2]:
            # It makes caches as long as the longest so far, which all steps would go through.
            vars(self._loaded).pop("_previous_max_cache_length", None)
            self._workload = workload
        ids = torch.tensor(prompts, device=self._device)
        mask = torch.ones_like(ids)
        options: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "cache_implementation": "static"}
        made = self._loaded.generate(ids, attention_mask=mask, **options).shape[1] - ids.shape[1]
        if made != tokens:
            raise RuntimeError(f"{made} tokens were made of {tokens}")
        return None

    def _run_continuously(self, prompts: list[list[int]], tokens: int, workload: tuple[int, int, int]) -> object:
        if workload != self._workload:  # what holds its memory and graphs is made for a workload
            self._loaded.destroy_cached_continuous_batching_manager()
            self._workload = workload
        # Without either package it would look for kernels on a hub.
        flash = any(find_spec(name) for name in ("flash_attn", "flash_attn_interface"))
        batching: dict[str, Any] = {} if self._device == "cuda" else {"num_blocks": 16, "max_batch_tokens": 64}
        results = self._loaded.generate_batch(
            prompts,
            generation_config=GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(auto_switch_to_flash=flash, **batching),
            persistent_manager=True,
        )
        made = sum(len(result.generated_tokens) for result in results.values())
        if made != len(prompts) * tokens:
            raise RuntimeError(f"{made} tokens were made of {len(prompts) * tokens}")
        return None
