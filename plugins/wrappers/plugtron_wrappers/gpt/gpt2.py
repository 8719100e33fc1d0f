"""From the config.json of GPT-2 to a DecoderConfig, and where its weights stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from plugtron.contracts import ModelDescription, Section, TensorInfo, Weight, WeightMap
from plugtron.errors import CheckpointError
from plugtron.nn import ActivationName, DecoderConfig
from plugtron_wrappers.huggingface.fields import validated
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.weight_rules import norm

__all__ = ["config_from_gpt2", "gpt2_activation", "gpt2_weights"]

_ACTIVATIONS: dict[str, ActivationName] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "quick_gelu": "gelu_quick",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
#: Fields of GPT-2 that change nothing of what is computed, beside those of every model.
_HARMLESS = frozenset(
    {
        "attn_pdrop",
        "embd_pdrop",
        "n_ctx",
        "reorder_and_upcast_attn",
        "resid_pdrop",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "task_specific_params",
    }
)


class GPT2Fields(BaseModel):
    """What decides what the model computes, with the defaults of transformers."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    vocab_size: int = Field(default=50257, gt=0, lt=2**24)
    n_positions: int = Field(default=1024, gt=0)
    n_embd: int = Field(default=768, gt=0, lt=2**20)
    n_layer: int = Field(default=12, gt=0, lt=10_000)
    n_head: int = Field(default=12, gt=0, lt=2**16)
    n_inner: int | None = Field(default=None, gt=0)
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = Field(default=1e-5, gt=0)
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    add_cross_attention: bool = False


def config_from_gpt2(model: ModelDescription, ignored: Collection[str]) -> DecoderConfig:
    """Translate config.json.

    Raises:
        CheckpointError: a field is wrong, or asks for what is not implemented.
    """
    place = str(model.path / "config.json")
    refuse_unknown(model, {*GPT2Fields.model_fields, *_HARMLESS, *ignored}, place, wrapper="gpt")
    fields = validated(GPT2Fields, dict(model.configuration), place)
    if fields.activation_function not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise CheckpointError(f"{place}: activation_function {fields.activation_function!r} (accepted: {known})")
    if fields.n_embd % fields.n_head:
        raise CheckpointError(f"{place}: n_embd {fields.n_embd} is no multiple of {fields.n_head} heads")
    if fields.add_cross_attention:
        raise CheckpointError(f"{place}: add_cross_attention is not implemented")
    head_dim, layers = fields.n_embd // fields.n_head, fields.n_layer
    scale = head_dim**-0.5 if fields.scale_attn_weights else 1.0
    by_layer = fields.scale_attn_by_inverse_layer_idx
    usual = fields.scale_attn_weights and not by_layer
    return DecoderConfig(
        vocab_size=fields.vocab_size,
        hidden_size=fields.n_embd,
        intermediate_size=fields.n_inner or 4 * fields.n_embd,
        num_layers=layers,
        num_heads=fields.n_head,
        num_kv_heads=fields.n_head,
        head_dim=head_dim,
        max_positions=fields.n_positions,
        learned_positions=fields.n_positions,
        norm="layer",
        norm_epsilon=fields.layer_norm_epsilon,
        activation=_ACTIVATIONS[fields.activation_function],
        gated=False,
        rotary=None,
        windows=(None,) * layers,
        rotates=(False,) * layers,
        attention_scales=() if usual else tuple(scale / (layer + 1 if by_layer else 1) for layer in range(layers)),
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        tied=fields.tie_word_embeddings,
    )


def gpt2_activation(activation: ActivationName) -> str | None:
    """The name that transformers has for an activation, or None."""
    return next((name for name, own in _ACTIVATIONS.items() if own == activation), None)


def gpt2_weights(config: DecoderConfig, tensors: Mapping[str, TensorInfo]) -> WeightMap:
    """Names as transformers writes them. Files of the first years lack the prefix."""
    prefix = "" if "wte.weight" in tensors else "transformer."
    weights = [
        Weight(parameter="embedding.weight", tensors=(f"{prefix}wte.weight",)),
        Weight(parameter="positions.weight", tensors=(f"{prefix}wpe.weight",)),
        *norm(config, "final_norm", f"{prefix}ln_f"),
        *([] if config.tied else [Weight(parameter="output.weight", tensors=("lm_head.weight",))]),
        *_layers(config, f"{prefix}h.{{layer}}."),
    ]
    # Causal masks were once saved with the weights.
    return WeightMap(weights=tuple(weights), ignored=("lm_head.weight", "*.attn.bias", "*.attn.masked_bias"))


def _layers(config: DecoderConfig, prefix: str) -> Iterator[Weight]:
    hidden, inner = config.hidden_size, config.intermediate_size
    linears = (
        ("attention.qkv", "attn.c_attn", hidden, 3),
        ("attention.output", "attn.c_proj", hidden, 1),
        ("mlp.up", "mlp.c_fc", inner, 1),
        ("mlp.down", "mlp.c_proj", hidden, 1),
    )
    for parameter, name, rows, count in linears:
        # Its linear layers are stored inputs first.
        for kind, transposed in (("weight", True), ("bias", False)):
            tensors = tuple(
                Section(
                    tensor=f"{prefix}{name}.{kind}",
                    total=count * rows,
                    first=number * rows,
                    run=rows,
                    transposed=transposed,
                )
                for number in range(count)
            )
            yield Weight(parameter=f"stack.{{layer}}.{parameter}.{kind}", tensors=tensors)
    for parameter, name in (("attention_norm", "ln_1"), ("mlp_norm", "ln_2")):
        yield from norm(config, f"stack.{{layer}}.{parameter}", f"{prefix}{name}")
