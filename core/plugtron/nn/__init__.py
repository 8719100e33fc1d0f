"""The blocks that wrapper authors build decoders from. Provisional until 1.0."""

from plugtron.nn.attention import Attention
from plugtron.nn.config import Activation, DecoderConfig, ExpertsConfig, RotaryConfig
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.experts import MixtureOfExperts
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.rotary import Rotary, Rotation

__all__ = [
    "MLP",
    "Activation",
    "Attention",
    "DecoderConfig",
    "ExpertsConfig",
    "GatedMLP",
    "LayerNorm",
    "MixtureOfExperts",
    "RMSNorm",
    "Rotary",
    "RotaryConfig",
    "Rotation",
    "TransformerDecoder",
    "TransformerLayer",
]
