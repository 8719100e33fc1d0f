"""The saved arguments of Megatron that decide what a GPTModel computes, with their types and Megatron's defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["NOT_IMPLEMENTED", "REQUIRED", "MegatronFields"]

#: What has no default: a model cannot be guessed.
REQUIRED = ("num_layers", "hidden_size", "num_attention_heads", "max_position_embeddings")

#: Arguments that ask for something else than is computed here, unless they are unset, false, or as given.
NOT_IMPLEMENTED: dict[str, Any] = {
    "apply_residual_connection_post_layernorm": False,  # only the first versions of Megatron Core heed it
    "enable_gpt_oss": False,
    "enable_hyper_connections": False,
    "enable_mhc_connections": False,
    "experimental_attention_variant": None,
    "export_moe_apply_probs_on_input": False,
    "export_qk_l2_norm": False,
    "head_wise_attn_gate": False,
    "heterogeneous_block_specs": False,
    "heterogeneous_layers_config_encoded_json": None,
    "heterogeneous_layers_config_path": None,
    "hybrid_attention_ratio": 0.0,
    "hybrid_layer_pattern": None,
    "hybrid_mlp_ratio": 0.0,
    "hybrid_override_pattern": None,
    "is_hybrid_model": False,
    "linear_attention_freq": None,
    "linear_attention_type": None,
    "moe_expert_capacity_factor": None,
    "moe_expert_rank_capacity_factor": None,
    "moe_latent_size": None,
    "moe_mlp_glu_interleave_size": None,
    "moe_n_hash_layers": 0,
    "moe_router_force_biased": None,
    "moe_router_force_load_balancing": False,
    "moe_shared_expert_glu_interleave_size": None,
    "mrope_section": None,
    "multi_latent_attention": False,
    "retro_add_retriever": False,
    "rotary_base_per_layer": None,
    "spec": None,
    "use_mup": False,
}


class MegatronFields(BaseModel):
    """Arguments by Megatron's names."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_layers: int = Field(gt=0, lt=10_000)
    hidden_size: int = Field(gt=0, lt=2**20)
    num_attention_heads: int = Field(gt=0, lt=2**16)
    max_position_embeddings: int = Field(gt=0, lt=2**31)
    ffn_hidden_size: int | None = Field(default=None, gt=0, lt=2**22)
    kv_channels: int | None = Field(default=None, gt=0, lt=2**16)
    group_query_attention: bool | None = None
    num_query_groups: int | None = Field(default=None, gt=0, lt=2**16)
    position_embedding_type: Literal["learned_absolute", "rope", "yarn", "none"] = "learned_absolute"
    use_rotary_position_embeddings: bool = False
    rotary_percent: float = Field(default=1.0, gt=0, le=1)
    rotary_base: float = Field(default=10_000, gt=0)
    rotary_interleaved: bool = False
    rotary_seq_len_interpolation_factor: float | None = Field(default=None, gt=0)
    use_rope_scaling: bool = False
    rope_scaling_factor: float = Field(default=8.0, gt=0)
    rotary_scaling_factor: float = Field(default=1.0, gt=0)
    yarn_original_max_position_embeddings: int = Field(default=4096, gt=0, lt=2**31)
    yarn_beta_fast: float = Field(default=32.0, gt=0)
    yarn_beta_slow: float = Field(default=1.0, gt=0)
    yarn_correction_range_round_to_int: bool = True
    mscale: float = 1.0
    mscale_all_dim: float = 0.0
    no_rope_freq: int | list[int] | None = None
    window_size: list[int] | None = Field(default=None, min_length=2, max_length=2)
    window_attn_skip_freq: Annotated[int, Field(gt=0)] | list[int] | None = None
    normalization: Literal["LayerNorm", "RMSNorm"] = "LayerNorm"
    norm_epsilon: float | None = Field(default=None, gt=0)
    layernorm_epsilon: float | None = Field(default=None, gt=0)
    apply_layernorm_1p: bool = False
    layernorm_zero_centered_gamma: bool = False
    swiglu: bool = False
    quick_geglu: bool = False
    squared_relu: bool = False
    openai_gelu: bool = False
    bias_gelu_fusion: bool = False
    gated_linear_unit: bool = False
    activation_func: str | None = None
    activation_func_clamp_value: float | None = Field(default=None, gt=0)
    glu_linear_offset: float = 0.0
    add_bias_linear: bool = True
    add_qkv_bias: bool = False
    qk_layernorm: bool = False
    qk_l2_norm: bool = False
    softmax_type: Literal["vanilla", "off-by-one", "learnable"] = "vanilla"
    softmax_scale: float | None = Field(default=None, gt=0)
    attention_output_gate: bool = False
    untie_embeddings_and_output_weights: bool = False
    padded_vocab_size: int | None = Field(default=None, gt=0)
    vocab_size: int | None = Field(default=None, gt=0)
    num_experts: int | None = Field(default=None, gt=0, lt=2**16)
    num_moe_experts: int | None = Field(default=None, gt=0, lt=2**16)
    moe_layer_freq: Annotated[int, Field(gt=0)] | list[int] = 1
    moe_ffn_hidden_size: int | None = Field(default=None, gt=0, lt=2**22)
    moe_router_topk: int = Field(default=2, gt=0)
    moe_router_load_balancing_type: str | list[str] = "aux_loss"
    moe_router_pre_softmax: bool = False
    moe_router_score_function: Literal["softmax", "sigmoid"] = "softmax"
    moe_router_topk_scaling_factor: float | None = None
    moe_router_enable_expert_bias: bool = False
    moe_router_num_groups: int | None = Field(default=None, gt=0)
    moe_router_group_topk: int | None = Field(default=None, gt=0)
    moe_router_topk_limited_devices: int | None = Field(default=None, gt=0)
    moe_apply_probs_on_input: bool = False
    expert_model_parallel_size: int = Field(default=1, gt=0)
    moe_shared_expert_intermediate_size: int | None = Field(default=None, gt=0, lt=2**22)
    moe_shared_expert_gate: bool = False
    mtp_num_layers: int | None = Field(default=None, ge=0, lt=10_000)
    mtp_use_repeated_layer: bool = False
