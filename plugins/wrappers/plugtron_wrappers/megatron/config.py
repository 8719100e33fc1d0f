"""From the arguments that Megatron saves to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from plugtron.contracts import TensorInfo
from plugtron.errors import CheckpointError, suggestion
from plugtron.nn import ActivationName, DecoderConfig, ExpertsConfig, RotaryConfig
from plugtron_wrappers.huggingface.fields import validated
from plugtron_wrappers.megatron.fields import NOT_IMPLEMENTED, REQUIRED, MegatronFields

__all__ = ["MegatronModel", "check_overrides", "model_from_megatron"]

#: The length that Megatron's llama3 scaling takes the model to have been trained with first.
_LLAMA3_POSITIONS = 8192
_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class MegatronModel:
    """What a GPTModel computes, and how its weights are to be read.

    `zero_centered`: norms' weights are stored less 1. `interleaved`: rotary pairs are neighbors within a head.
    """

    config: DecoderConfig
    zero_centered: bool
    interleaved: bool


def check_overrides(overrides: Mapping[str, Any], place: str) -> None:
    """Refuse names that no model of Megatron's is described by.

    Raises:
        CheckpointError: with the closest name.
    """
    known = sorted({*MegatronFields.model_fields, *NOT_IMPLEMENTED})
    for name in overrides:
        if name not in known:
            raise CheckpointError(f"{place}: {name} does not describe a model.{suggestion(name, known)}")


def model_from_megatron(
    arguments: Mapping[str, Any],
    tensors: Mapping[str, TensorInfo],
    ignored: Collection[str],
    place: str,
    vocab_size: int | None = None,
) -> MegatronModel:
    """Translate arguments; `tensors` say how many rows the vocabulary was padded to.

    Args:
        ignored: arguments that the user vouches for.
        vocab_size: ids below it mean something, as the tokenizer says; else as saved, else all.

    Raises:
        CheckpointError: an argument is missing, wrong, or asks for what is not implemented; with `place`.
    """
    _refuse(arguments, ignored, place)
    arguments = {"max_position_embeddings": arguments.get("seq_length"), **arguments}
    missing = [name for name in REQUIRED if arguments.get(name) is None]
    if missing:
        raise CheckpointError(
            f"{place}: the saved arguments lack {', '.join(missing)}; give them with model.wrapper: "
            f"{{name: gpt, options: {{configuration: {{{missing[0]}: ...}}}}}}, or in a JSON file as configuration_file"
        )
    given = {name: value for name, value in arguments.items() if value is not None}
    fields = validated(MegatronFields, given, place)
    heads, layers = fields.num_attention_heads, fields.num_layers
    if fields.kv_channels is None and fields.hidden_size % heads:
        raise CheckpointError(f"{place}: hidden_size {fields.hidden_size} is no multiple of {heads} heads")
    # Megatron saves num_query_groups 1 for models without groups; where only one of the two is given, it decides.
    kv_heads = heads if fields.group_query_attention is False else fields.num_query_groups or heads
    if heads % kv_heads:
        raise CheckpointError(f"{place}: {heads} attention heads cannot share {kv_heads} query groups")
    words = tensors.get("embedding.word_embeddings.weight")
    rows = words.shape[0] if words is not None and words.shape else fields.padded_vocab_size or 0
    head_dim = fields.kv_channels or fields.hidden_size // heads
    kind = "rope" if fields.use_rotary_position_embeddings else fields.position_embedding_type
    activation, gated = _activation(fields, place)
    gated = gated or _is_gated(tensors)
    config = DecoderConfig(
        vocab_size=min(vocab_size or _saved_vocabulary(fields) or rows, rows),
        padded_vocab_size=rows,
        hidden_size=fields.hidden_size,
        intermediate_size=fields.ffn_hidden_size or _default_ffn(fields),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=fields.max_position_embeddings,
        learned_positions=fields.max_position_embeddings if kind == "learned_absolute" else 0,
        norm="layer" if fields.normalization == "LayerNorm" else "rms",
        norm_epsilon=fields.norm_epsilon or fields.layernorm_epsilon or _DEFAULT_EPSILON,
        activation=activation,
        gated=gated,
        rotary=_rotary(fields, head_dim, place) if kind == "rope" else None,
        windows=_windows(fields, ignored, place),
        rotates=_rotates(fields, place) if kind == "rope" else (False,) * layers,
        sparse=_sparse(fields, place),
        experts=_experts(fields, tensors, place),
        qkv_bias=fields.add_bias_linear or fields.add_qkv_bias,
        output_bias=fields.add_bias_linear,
        mlp_bias=fields.add_bias_linear,
        qk_norm=fields.qk_layernorm,
        tied=not fields.untie_embeddings_and_output_weights,
    )
    return MegatronModel(
        config=config,
        zero_centered=fields.apply_layernorm_1p or fields.layernorm_zero_centered_gamma,
        interleaved=fields.rotary_interleaved and config.rotary is not None,
    )


def _refuse(arguments: Mapping[str, Any], ignored: Collection[str], place: str) -> None:
    for name, harmless in NOT_IMPLEMENTED.items():
        value = arguments.get(name)
        if name not in ignored and value not in (None, False, harmless, [], ""):
            raise CheckpointError(
                f"{place}: {name} (= {value!r}) is not implemented; if it changes nothing, allow it with "
                f"model.wrapper: {{name: gpt, options: {{ignore_fields: [{name}]}}}}"
            )


def _saved_vocabulary(fields: MegatronFields) -> int | None:
    """Megatron counts the vocabulary without the id that ends a text."""
    return None if fields.vocab_size is None else fields.vocab_size + 1


def _default_ffn(fields: MegatronFields) -> int:
    """Megatron's rule: four times the hidden size; for a gate two thirds of that, to a multiple of 64."""
    if not fields.swiglu:
        return 4 * fields.hidden_size
    return int(4 * fields.hidden_size * 2 / 3 / 64) * 64


def _activation(fields: MegatronFields, place: str) -> tuple[ActivationName, bool]:
    """Which activation, and whether the layer is gated."""
    asked = [name for name in ("swiglu", "quick_geglu", "squared_relu", "openai_gelu") if getattr(fields, name)]
    if len(asked) > 1:
        raise CheckpointError(f"{place}: {' and '.join(asked)} exclude each other")
    if fields.swiglu:
        return "silu", True
    if fields.quick_geglu:
        return "gelu_quick", True
    if fields.squared_relu:
        return "relu_squared", fields.gated_linear_unit
    if fields.activation_func is not None and not fields.openai_gelu:
        return _named_activation(fields.activation_func, place), fields.gated_linear_unit
    # The fused kernel, which training uses with biases, computes the tanh form.
    approximate = fields.openai_gelu or (fields.bias_gelu_fusion and fields.add_bias_linear)
    return "gelu_tanh" if approximate else "gelu", fields.gated_linear_unit


def _is_gated(tensors: Mapping[str, TensorInfo]) -> bool:
    """Whether MLPs are gated by their shapes: no argument of Megatron's says so for a gate other than its own two."""
    for name, into in tensors.items():
        if name.endswith(".linear_fc1.weight"):
            down = tensors.get(name.replace(".linear_fc1.", ".linear_fc2."))
            if down is None or len(into.shape) != 2 or len(down.shape) != 2:
                return False  # the loader will say what is wrong with them
            return into.shape[0] == 2 * down.shape[1]
    return False


def _named_activation(name: str, place: str) -> ActivationName:
    known: dict[str, ActivationName] = {
        "gelu": "gelu",
        "silu": "silu",
        "swish": "silu",
        "relu": "relu",
        "squared_relu": "relu_squared",
        "quick_gelu": "gelu_quick",
        "fast_gelu": "gelu_tanh",
        "gelu_tanh": "gelu_tanh",
    }
    short = name.rpartition(".")[2]
    if short not in known:
        raise CheckpointError(f"{place}: activation_func {name!r} (accepted: {', '.join(known)})")
    return known[short]


def _rotary(fields: MegatronFields, head_dim: int, place: str) -> RotaryConfig:
    width = int(head_dim * fields.rotary_percent) if fields.rotary_percent < 1 else None
    if (width or head_dim) % 2 and (width or head_dim) == head_dim:
        raise CheckpointError(f"{place}: heads of {head_dim} channels cannot be rotated in pairs")
    if fields.use_rope_scaling:
        return RotaryConfig(
            base=fields.rotary_base,
            width=width,
            scaling="llama3",
            factor=fields.rope_scaling_factor,
            original_positions=_LLAMA3_POSITIONS,
        )
    if fields.rotary_seq_len_interpolation_factor is not None:
        return RotaryConfig(
            base=fields.rotary_base,
            width=width,
            scaling="linear",
            factor=fields.rotary_seq_len_interpolation_factor,
        )
    return RotaryConfig(base=fields.rotary_base, width=width)


def _rotates(fields: MegatronFields, place: str) -> tuple[bool, ...]:
    """In the list 1 means that a layer does not rotate; a number, that one in so many does not."""
    freq = fields.no_rope_freq
    if not freq:
        return (True,) * fields.num_layers
    if isinstance(freq, int):
        return tuple((layer + 1) % freq != 0 for layer in range(fields.num_layers))
    return tuple(skip == 0 for skip in _per_layer("no_rope_freq", freq, fields, place))


def _windows(fields: MegatronFields, ignored: Collection[str], place: str) -> tuple[int | None, ...]:
    """How far each layer looks back: the window counts the tokens before a token's own; -1 is all of them."""
    if fields.window_size is not None and fields.window_size[1] > 0 and "window_size" not in ignored:
        raise CheckpointError(
            f"{place}: window_size (= {fields.window_size!r}): looking ahead is not implemented; if it changes "
            "nothing, allow it with model.wrapper: {name: gpt, options: {ignore_fields: [window_size]}}"
        )
    if fields.window_size is None or fields.window_size[0] < 0:
        return (None,) * fields.num_layers
    window, freq = fields.window_size[0] + 1, fields.window_attn_skip_freq
    if freq is None:
        return (window,) * fields.num_layers
    if isinstance(freq, int):
        return tuple(window if (layer + 1) % freq else None for layer in range(fields.num_layers))
    marked = _per_layer("window_attn_skip_freq", freq, fields, place)
    return tuple(window if wanted else None for wanted in marked)


def _sparse(fields: MegatronFields, place: str) -> tuple[bool, ...]:
    if not (fields.num_experts or fields.num_moe_experts):
        return ()
    freq = fields.moe_layer_freq
    if isinstance(freq, int):
        return tuple(layer % freq == 0 for layer in range(fields.num_layers))
    return tuple(map(bool, _per_layer("moe_layer_freq", freq, fields, place)))


def _experts(fields: MegatronFields, tensors: Mapping[str, TensorInfo], place: str) -> ExpertsConfig | None:
    count = fields.num_experts or fields.num_moe_experts
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
    grouped = bool(fields.moe_router_group_topk) and not sinkhorn
    groups, top_groups = (fields.moe_router_num_groups or 1, fields.moe_router_group_topk or 1) if grouped else (1, 1)
    if count % groups or fields.moe_router_topk > count or top_groups > groups:
        raise CheckpointError(
            f"{place}: {fields.moe_router_topk} of {count} experts from {top_groups} of {groups} groups cannot be"
        )
    return ExpertsConfig(
        count=count,
        top_k=fields.moe_router_topk,
        size=fields.moe_ffn_hidden_size or fields.ffn_hidden_size or _default_ffn(fields),
        score=score,
        scale=1.0 if sinkhorn else fields.moe_router_topk_scaling_factor or 1.0,
        # No argument says whether the router has a bias: it came with a version.
        router_bias=any(name.endswith(".mlp.router.bias") for name in tensors),
        choice_bias=fields.moe_router_enable_expert_bias and not sinkhorn,
        groups=groups,
        top_groups=top_groups,
        shared_size=fields.moe_shared_expert_intermediate_size or 0,
        shared_gate=fields.moe_shared_expert_gate and bool(fields.moe_shared_expert_intermediate_size),
    )


def _per_layer(name: str, entries: Sequence[int], fields: MegatronFields, place: str) -> Sequence[int]:
    if len(entries) != fields.num_layers:
        raise CheckpointError(f"{place}: {name} has {len(entries)} entries for {fields.num_layers} layers")
    return entries
