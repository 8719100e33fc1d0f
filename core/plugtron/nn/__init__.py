"""The blocks that wrapper authors build decoders from. Provisional until 1.0."""

from plugtron.nn.attention import Attention
from plugtron.nn.config import DecoderConfig, RotaryConfig
from plugtron.nn.decoder import TransformerDecoder
from plugtron.nn.mlp import GatedMLP
from plugtron.nn.norms import RMSNorm
from plugtron.nn.rotary import Rotary, Rotation
from plugtron.nn.wrapper import DecoderWrapper

__all__ = [
    "Attention",
    "DecoderConfig",
    "DecoderWrapper",
    "GatedMLP",
    "RMSNorm",
    "Rotary",
    "RotaryConfig",
    "Rotation",
    "TransformerDecoder",
]
