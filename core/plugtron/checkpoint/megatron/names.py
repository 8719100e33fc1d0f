"""One name for each tensor of a Megatron model, however it was saved.

Megatron saves a model under names that depend on how it ran. Here a tensor is called as a model without Transformer
Engine, expert by expert, would call it in its state dict: `decoder.layers.3.input_layernorm.weight`,
`decoder.layers.3.mlp.experts.local_experts.0.linear_fc1.weight`.
"""

from __future__ import annotations

import re

__all__ = ["canonical", "gate_half", "is_state", "stacked_axes"]

#: Transformer Engine keeps the norm before a linear layer inside it.
_FUSED_NORMS = (
    (".self_attention.linear_qkv.layer_norm_", ".input_layernorm."),
    (".mlp.linear_fc1.layer_norm_", ".pre_mlp_layernorm."),
)
_DISTRIBUTED_EXPERT = re.compile(r"\.mlp\.experts\.experts\.(\d+)\.")
#: One parameter per expert in one module, as grouped matrix products keep them.
_GROUPED_EXPERT = re.compile(r"\.mlp\.experts\.(?:experts\.)?(linear_fc[12])\.(weight|bias)(\d+)$")
#: What a layer of multi-token prediction calls its transformer layer in later versions, in files of one rank each.
_MTP_LAYER = re.compile(r"^(mtp\.layers\.\d+\.)mtp_model_layer\.")
_GATE_HALF = re.compile(r"^(.*\.(?:weight|bias))_([wv])$")


def canonical(name: str) -> str:
    """Return the one name for a tensor that is saved under `name`."""
    name = name.removeprefix("module.")
    for fused, plain in _FUSED_NORMS:
        name = name.replace(fused, plain)
    name = _MTP_LAYER.sub(r"\1transformer_layer.", name)
    name = _DISTRIBUTED_EXPERT.sub(r".mlp.experts.local_experts.\1.", name)
    return _GROUPED_EXPERT.sub(r".mlp.experts.local_experts.\3.\1.\2", name)


def gate_half(name: str) -> tuple[str, int] | None:
    """The whole that one half of a gated linear layer belongs to, when they are saved apart: 0 is the gate."""
    match = _GATE_HALF.match(name)
    return (match[1], "wv".index(match[2])) if match else None


def stacked_axes(name: str) -> tuple[str, ...]:
    """Templates for what stands in one saved tensor: over layers, and over experts, as leading axes."""
    axes: tuple[str, ...] = ()
    if name.startswith("decoder.layers.") and not name.removeprefix("decoder.layers.").split(".")[0].isdecimal():
        axes = ("decoder.layers.",)
    if ".mlp.experts.experts.linear_fc" in name:
        axes = (*axes, ".mlp.experts.experts.")
    return axes


def is_state(name: str) -> bool:
    """Whether a name is of something beside the model's weights: an optimizer, a random state, fp8 scales."""
    return (
        name.startswith(("optimizer.", "chained_", "rng_state", "rerun_state", "opt_param_scheduler"))
        or "_extra_state" in name
    )
