"""A causal language model of transformers, and a sequence that it goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from plugtron.contracts import Parts
from plugtron.errors import CheckpointError
from plugtron_transformers.options import TransformersOptions

__all__ = ["LanguageModel", "Progress"]

#: Where configurations say how many positions there are.
_POSITIONS = ("max_position_embeddings", "max_seq_len", "seq_length")


@dataclass(slots=True)
class Progress:
    """What the model has seen of a sequence, and the ids that it is to see next."""

    cache: DynamicCache
    coming: list[int]


class LanguageModel:
    """Loads a folder, and says what comes next in one sequence after the other.

    Raises:
        CheckpointError: transformers cannot load it.
    """

    def __init__(self, parts: Parts, options: TransformersOptions) -> None:
        assert parts.model is not None, "assembly has described it"
        self.device = parts.runtime.device
        path = parts.model.path
        trusted = options.trust_remote_code
        try:
            config = AutoConfig.from_pretrained(path, trust_remote_code=trusted)
            model: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=config,
                dtype=parts.runtime.dtype,
                attn_implementation=None if options.attention == "auto" else options.attention,
                trust_remote_code=trusted,
            )
        # Whatever transformers, or code that the checkpoint brings, has against it.
        except Exception as error:
            raise CheckpointError(f"{path}: transformers cannot load it: {type(error).__name__}: {error}") from error
        self._config = config
        self._model = model.to(self.device).eval()
        self.vocab_size: int = self._model.get_output_embeddings().weight.shape[0]

    @property
    def max_positions(self) -> int | None:
        """How long a sequence may get; None: the configuration does not say."""
        config = self._config.get_text_config()
        return next((value for name in _POSITIONS if (value := getattr(config, name, None)) is not None), None)

    def begin(self, prompt: list[int]) -> Progress:
        """Take up a sequence."""
        return Progress(DynamicCache(config=self._config), list(prompt))

    @torch.inference_mode()
    def next_logits(self, progress: Progress) -> Tensor:
        """Compute the logits [1, V] float32 after the ids that are to be seen next."""
        ids = torch.tensor([progress.coming], device=self.device)
        output = self._model(input_ids=ids, past_key_values=progress.cache, use_cache=True, logits_to_keep=1)
        progress.coming.clear()
        return output.logits[:, -1].float()
