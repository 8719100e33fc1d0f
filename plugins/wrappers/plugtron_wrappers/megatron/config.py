"""From the arguments that Megatron saves to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from plugtron.contracts import TensorInfo
from plugtron.errors import CheckpointError, suggestion
from plugtron.nn import ActivationName, DecoderConfig
from plugtron_wrappers.huggingface.fields import validated
from plugtron_wrappers.megatron.experts import experts_of, sparse_layers
from plugtron_wrappers.megatron.fields import NOT_IMPLEMENTED, REQUIRED, MegatronFields
from plugtron_wrappers.megatron.positions import rotary_of, rotates, windows

__all__ = ["MegatronModel", "check_overrides", "model_from_megatron"]

_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class MegatronModel:
    """What a GPTModel computes, and how its weights are to be read.

    `zero_centered`: norms' weights are stored less 1. `interleaved`: rotary pairs are neighbors within a head.
    `mtp_layers`: layers of multi-token prediction that are stored; one that is repeated counts once.
    """

    config: DecoderConfig
    zero_centered: bool
    interleaved: bool
    mtp_layers: int = 0


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
    rotary = rotary_of(fields, head_dim, place)
    size = fields.ffn_hidden_size or _default_ffn(fields)
    activation, gated = _activation(fields, place, gated=fields.gated_linear_unit or _is_gated(tensors))
    config = DecoderConfig(
        vocab_size=min(vocab_size or _saved_vocabulary(fields) or rows, rows),
        padded_vocab_size=rows,
        hidden_size=fields.hidden_size,
        intermediate_size=size,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=fields.max_position_embeddings,
        learned_positions=fields.max_position_embeddings if _has_learned_positions(fields) else 0,
        norm="layer" if fields.normalization == "LayerNorm" else "rms",
        norm_epsilon=fields.norm_epsilon or fields.layernorm_epsilon or _DEFAULT_EPSILON,
        activation=activation,
        gated=gated,
        rotary=rotary,
        windows=windows(fields, ignored, place),
        rotates=(False,) * layers if rotary is None else rotates(fields, place),
        sparse=sparse_layers(fields, place),
        experts=experts_of(fields, tensors, size, place, gated=gated),
        attention_scales=() if fields.softmax_scale is None else (fields.softmax_scale,) * layers,
        sinks=fields.softmax_type == "learnable",
        fixed_sink=0.0 if fields.softmax_type == "off-by-one" else None,
        attention_gate=fields.attention_output_gate,
        qkv_bias=fields.add_bias_linear or fields.add_qkv_bias,
        output_bias=fields.add_bias_linear,
        mlp_bias=fields.add_bias_linear,
        qk_norm=fields.qk_layernorm and not fields.qk_l2_norm,
        qk_l2_norm=fields.qk_l2_norm,
        tied=not fields.untie_embeddings_and_output_weights,
    )
    return MegatronModel(
        config=config,
        zero_centered=fields.apply_layernorm_1p or fields.layernorm_zero_centered_gamma,
        interleaved=fields.rotary_interleaved and config.rotary is not None,
        mtp_layers=min(fields.mtp_num_layers or 0, 1 if fields.mtp_use_repeated_layer else 10_000),
    )


def _refuse(arguments: Mapping[str, Any], ignored: Collection[str], place: str) -> None:
    for name, harmless in NOT_IMPLEMENTED.items():
        value = arguments.get(name)
        if name not in ignored and value not in (None, False, harmless, [], ""):
            raise CheckpointError(
                f"{place}: {name} (= {value!r}) is not implemented; if it changes nothing, allow it with "
                f"model.wrapper: {{name: gpt, options: {{ignore_fields: [{name}]}}}}"
            )


def _has_learned_positions(fields: MegatronFields) -> bool:
    return fields.position_embedding_type == "learned_absolute" and not fields.use_rotary_position_embeddings


def _saved_vocabulary(fields: MegatronFields) -> int | None:
    """Megatron counts the vocabulary without the id that ends a text."""
    return None if fields.vocab_size is None else fields.vocab_size + 1


def _default_ffn(fields: MegatronFields) -> int:
    """Megatron's rule: four times the hidden size; for a gate two thirds of that, to a multiple of 64."""
    if not fields.swiglu:
        return 4 * fields.hidden_size
    return int(4 * fields.hidden_size * 2 / 3 / 64) * 64


def _activation(fields: MegatronFields, place: str, *, gated: bool) -> tuple[ActivationName, bool]:
    """Which activation, and whether the layer is gated, which `gated` says where no activation does."""
    asked = [name for name in ("swiglu", "quick_geglu", "squared_relu", "openai_gelu") if getattr(fields, name)]
    if len(asked) > 1:
        raise CheckpointError(f"{place}: {' and '.join(asked)} exclude each other")
    if fields.swiglu:
        return "silu", True
    if fields.quick_geglu:
        return "gelu_quick", True
    if fields.squared_relu:
        return "relu_squared", gated
    if fields.activation_func is not None and not fields.openai_gelu:
        return _named_activation(fields.activation_func, place), gated
    # The fused kernels, which training uses with biases and with gates, compute the tanh form.
    approximate = fields.openai_gelu or (fields.bias_gelu_fusion and (fields.add_bias_linear or gated))
    return "gelu_tanh" if approximate else "gelu", gated


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
