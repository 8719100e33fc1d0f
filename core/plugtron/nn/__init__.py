"""The blocks that wrapper authors build decoders from. Provisional until 1.0."""

from plugtron.nn.activations import Activation
from plugtron.nn.attention import Attention, AttentionShape, CoreAttention, alibi_slopes
from plugtron.nn.config import ActivationName, DecoderConfig, ExpertsConfig, RotaryConfig, Temperature
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.experts import MixtureOfExperts
from plugtron.nn.heads import Heads
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, Norm, RMSNorm, make_norm
from plugtron.nn.operation import CustomOperation, Operation
from plugtron.nn.rotary import Rotary, Rotation
from plugtron.parallel.layers import ColumnParallelLinear, ReplicatedLinear, RowParallelLinear, Rows, ShardedModule

__all__ = [
    "MLP",
    "Activation",
    "ActivationName",
    "Attention",
    "AttentionShape",
    "ColumnParallelLinear",
    "CoreAttention",
    "CustomOperation",
    "DecoderConfig",
    "ExpertsConfig",
    "GatedMLP",
    "Heads",
    "LayerNorm",
    "MixtureOfExperts",
    "Norm",
    "Operation",
    "RMSNorm",
    "ReplicatedLinear",
    "Rotary",
    "RotaryConfig",
    "Rotation",
    "RowParallelLinear",
    "Rows",
    "ShardedModule",
    "Temperature",
    "TransformerDecoder",
    "TransformerLayer",
    "alibi_slopes",
    "make_norm",
]
