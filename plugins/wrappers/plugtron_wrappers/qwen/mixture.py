"""What Qwen's mixtures of experts have in common: which layers have one, and how it chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from plugtron.nn import DecoderConfig, ExpertsConfig
from plugtron_wrappers.huggingface.experts import check_choice
from plugtron_wrappers.huggingface.fields import DecoderFields

__all__ = ["MixtureFields", "mixture"]


class MixtureFields(DecoderFields):
    """Defaults are those of transformers; each class has its own sizes."""

    max_position_embeddings: int = Field(default=32768, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    sliding_window: int | None = Field(default=4096, ge=0, lt=2**31)
    use_sliding_window: bool = False
    max_window_layers: int | None = Field(default=28, ge=0)  # Qwen3-MoE's folders have it, and windows in all layers
    decoder_sparse_step: int = Field(default=1, gt=0)
    mlp_only_layers: list[int] | None = None
    num_experts: int = Field(ge=0, lt=2**16)
    num_local_experts: int | None = Field(default=None, ge=0, lt=2**16)
    num_experts_per_tok: int = Field(gt=0)
    moe_intermediate_size: int = Field(gt=0, lt=2**22)
    norm_topk_prob: bool = False


def mixture(plain: DecoderConfig, fields: Any, file: str) -> DecoderConfig:
    """Put experts into every so-many-th layer, but for those that are said to have one MLP.

    Raises:
        CheckpointError: a token goes to more experts than there are.
    """
    # transformers 5 writes the one name, published folders have the other.
    count = fields.num_experts if fields.num_local_experts is None else fields.num_local_experts
    step, dense = fields.decoder_sparse_step, fields.mlp_only_layers or []
    layers = range(plain.num_layers)
    sparse = tuple(count > 0 and layer not in dense and (layer + 1) % step == 0 for layer in layers)
    if not any(sparse):
        return plain
    check_choice(file, fields.num_experts_per_tok, count)
    experts = ExpertsConfig(
        count=count,
        top_k=fields.num_experts_per_tok,
        size=fields.moe_intermediate_size,
        score="softmax_renormalized" if fields.norm_topk_prob else "softmax",
    )
    return replace(plain, sparse=sparse, experts=experts)
