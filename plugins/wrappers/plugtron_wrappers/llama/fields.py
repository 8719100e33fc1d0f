"""The fields of config.json that the Llama family reads, with their types and ranges."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plugtron_wrappers.huggingface.fields import DecoderFields

__all__ = ["LlamaFields"]


class LlamaFields(DecoderFields):
    """What decides what the model computes. Defaults are Llama's; other classes of transformers have their own."""

    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    attention_out_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = Field(default=None, gt=0, lt=2**31)
    use_sliding_window: bool = False
    max_window_layers: int | None = Field(default=None, ge=0)
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    no_rope_layers: list[Literal[0, 1]] | None = None
    no_rope_layer_interval: int = Field(default=4, gt=0)
    num_local_experts: int = Field(default=8, gt=0, lt=2**16)
    num_experts_per_tok: int = Field(default=2, gt=0)
    partial_rotary_factor: float | None = Field(default=None, ge=1, le=1)
