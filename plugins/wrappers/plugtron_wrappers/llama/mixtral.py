"""Mixtral: Mistral with a mixture of experts in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, ExpertsConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, is_plain

__all__ = ["Mixtral"]


class Mixtral(Relative):
    """Mixtral: Mistral with a mixture of experts in every layer."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 8,
        "rope_theta": 1_000_000.0,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
    }

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """One window for all layers, and experts."""
        count, top_k = fields.num_local_experts, fields.num_experts_per_tok
        if top_k > count:
            raise CheckpointError(f"{file}: num_experts_per_tok {top_k} is more than num_local_experts {count}")
        return replace(
            plain,
            windows=(fields.sliding_window,) * plain.num_layers,
            sparse=(True,) * plain.num_layers,
            experts=ExpertsConfig(count=count, top_k=top_k, size=fields.intermediate_size),
        )

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """Experts of Mixtral's kind in all layers."""
        experts = config.experts
        if experts is None or not all(config.sparse):
            return False
        own = ExpertsConfig(count=experts.count, top_k=experts.top_k, size=experts.size, score="softmax_chosen")
        none = (None,) * config.num_layers
        return experts == own and is_plain(replace(config, windows=none, sparse=(False,) * config.num_layers))

    @classmethod
    def written(cls, config: DecoderConfig) -> dict[str, Any]:
        """The window and the experts."""
        assert config.experts is not None
        return {
            "sliding_window": config.windows[0],
            "intermediate_size": config.experts.size,
            "num_local_experts": config.experts.count,
            "num_experts_per_tok": config.experts.top_k,
        }
