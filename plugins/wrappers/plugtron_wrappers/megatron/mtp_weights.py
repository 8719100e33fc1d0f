"""Where the weights of a layer of multi-token prediction stand in Megatron's checkpoints."""

from __future__ import annotations

from dataclasses import replace

from plugtron.contracts import Section, Weight, WeightMap
from plugtron_wrappers.megatron.config import MegatronModel
from plugtron_wrappers.megatron.weights import LAYER, STATES, centered_at_one, megatron_weights
from plugtron_wrappers.weight_rules import linear, norm

__all__ = ["mtp_weights"]


def mtp_weights(model: MegatronModel, number: int) -> WeightMap:
    """All weights of one layer, and of the model's embedding and head.

    Args:
        model: its configuration is the layer's own; `mtp_layers` are those that the checkpoint has.
        number: which of them, from 0 on.
    """
    stored = f"mtp.layers.{number}."
    own = [
        *norm(model.config, "enorm", f"{stored}enorm"),
        *norm(model.config, "hnorm", f"{stored}hnorm"),
        *linear("eh_proj", (f"{stored}eh_proj",), bias=False),
    ]
    if model.zero_centered:
        own = [centered_at_one(weight) for weight in own]
    shared = [_moved(weight, stored) for weight in megatron_weights(model).weights]
    others = (f"mtp.layers.{other}.*" for other in range(model.mtp_layers) if other != number)
    ignored = ("embedding.*", "decoder.*", "output_layer.weight", *others, *STATES)
    return WeightMap(weights=(*shared, *own), ignored=ignored)


def _moved(weight: Weight, stored: str) -> Weight:
    """A weight of the decoder's layers, or of its final norm, as the same one of this layer."""
    return replace(weight, tensors=tuple(_renamed(tensor, stored) for tensor in weight.tensors))


def _renamed(tensor: str | Section, stored: str) -> str | Section:
    if isinstance(tensor, Section):
        return replace(tensor, tensor=_name(tensor.tensor, stored))
    return _name(tensor, stored)


def _name(tensor: str, stored: str) -> str:
    name = tensor.replace(LAYER, f"{stored}transformer_layer.")
    return name.replace("decoder.final_layernorm.", f"{stored}final_layernorm.")
