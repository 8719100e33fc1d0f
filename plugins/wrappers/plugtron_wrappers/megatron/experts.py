"""The mixtures of experts of a GPTModel: which layers have one, and how tokens find their experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from plugtron.contracts import TensorInfo
from plugtron.errors import CheckpointError
from plugtron.nn import ExpertsConfig
from plugtron_wrappers.huggingface.fields import one_per_layer
from plugtron_wrappers.megatron.fields import MegatronFields

__all__ = ["experts_of", "sparse_layers"]


def sparse_layers(fields: MegatronFields, place: str) -> tuple[bool, ...]:
    """Which layers have experts; empty: none has.

    Raises:
        CheckpointError: moe_layer_freq does not say so of all layers.
    """
    if not (fields.num_experts or fields.num_moe_experts):
        return ()
    freq = fields.moe_layer_freq
    if isinstance(freq, int):
        return tuple(layer % freq == 0 for layer in range(fields.num_layers))
    return tuple(map(bool, one_per_layer("moe_layer_freq", freq, fields.num_layers, place)))


def experts_of(
    fields: MegatronFields, tensors: Mapping[str, TensorInfo], size: int, place: str, *, gated: bool
) -> ExpertsConfig | None:
    """The experts of a layer; `size` is their width where no argument is about it.

    Raises:
        CheckpointError: what is asked for cannot be, or is not implemented; with `place`.
    """
    limit, offset = (fields.activation_func_clamp_value, fields.glu_linear_offset) if gated else (None, 0.0)
    count = fields.num_experts or fields.num_moe_experts
    shared = fields.moe_shared_expert_intermediate_size or 0
    if (limit is not None or offset) and (not count or shared or not all(sparse_layers(fields, place))):
        raise CheckpointError(
            f"{place}: activation_func_clamp_value (= {limit}) and glu_linear_offset (= {offset}) are implemented for "
            "experts alone, not for dense layers and shared experts"
        )
    if not count:
        return None
    score: Literal["softmax", "softmax_chosen", "sigmoid"] = (
        "softmax" if fields.moe_router_pre_softmax else "softmax_chosen"
    )
    if fields.moe_router_score_function == "sigmoid":
        score = "sigmoid"
    # Sinkhorn routing knows nothing of groups, scales and biases.
    sinkhorn = fields.moe_router_load_balancing_type == "sinkhorn"
    if sinkhorn:
        score = "sigmoid" if fields.moe_router_topk == 1 else "softmax"
    groups, top_groups = (1, 1) if sinkhorn else _groups(fields)
    if count % groups or fields.moe_router_topk > count or top_groups > groups:
        raise CheckpointError(
            f"{place}: {fields.moe_router_topk} of {count} experts from {top_groups} of {groups} groups cannot be"
        )
    return ExpertsConfig(
        count=count,
        top_k=fields.moe_router_topk,
        size=fields.moe_ffn_hidden_size or size,
        score=score,
        scale=1.0 if sinkhorn else fields.moe_router_topk_scaling_factor or 1.0,
        # No argument says whether the router has a bias: it came with a version.
        router_bias=any(name.endswith(".mlp.router.bias") for name in tensors),
        choice_bias=fields.moe_router_enable_expert_bias and not sinkhorn,
        groups=groups,
        top_groups=top_groups,
        shared_size=shared,
        shared_gate=fields.moe_shared_expert_gate and bool(shared),
        weighs_inputs=fields.moe_apply_probs_on_input,
        limit=limit,
        up_offset=offset,
    )


def _groups(fields: MegatronFields) -> tuple[int, int]:
    """How many groups experts come in, and from how many of them a token's are; once those of a rank were a group."""
    if fields.moe_router_group_topk:
        return fields.moe_router_num_groups or 1, fields.moe_router_group_topk
    if fields.moe_router_topk_limited_devices:
        return fields.expert_model_parallel_size, fields.moe_router_topk_limited_devices
    return 1, 1
