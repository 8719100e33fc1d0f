"""What a decoder looks like, in numbers. Wrappers translate a checkpoint's own configuration into this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ActivationName", "DecoderConfig", "ExpertsConfig", "RotaryConfig", "Temperature"]

#: gelu is exact, gelu_tanh its tanh approximation (GPT-2), gelu_quick x · sigmoid(1.702 x).
ActivationName = Literal["silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "tanh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryConfig:
    """Rotary position embedding (arXiv:2104.09864) and how it is stretched to longer texts.

    linear: positions are divided by `factor`. llama3: low frequencies are divided by it, high ones kept
    (`low_frequency`, `high_frequency`: wavelengths per `original_positions`). yarn (arXiv:2309.00071): the same
    between `beta_slow` and `beta_fast` turns, and scores scaled by `attention_factor`. factors: one divisor per
    frequency, as GGUF files carry them. `width`: how many channels of a head, the first ones, rotate (None: all);
    `interleaved`: each with its neighbor, else the first half with the second.
    """

    base: float
    width: int | None = None
    interleaved: bool = False
    scaling: Literal["none", "linear", "llama3", "yarn", "factors"] = "none"
    factor: float = 1.0
    original_positions: int = 0
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True
    factors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """Queries grow with their position p, 1 + beta · log(1 + floor((p + first) / period)) times (arXiv:2501.19399).

    It keeps attention over long texts as sharp as over short ones.
    """

    beta: float
    period: int
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsConfig:
    """A mixture of experts: each token goes to the `top_k` that its router scores highest.

    `score`: softmax over all experts ("softmax"), the same divided by its sum over the chosen ones
    ("softmax_renormalized"), softmax over the chosen ones alone ("softmax_chosen"), or sigmoids, which are divided by
    their sum over the chosen ones unless `top_k` is 1. `router_bias`: the router's linear layer has one.
    `choice_bias`: experts are chosen by their scores plus a learned bias, which does not change their weights.
    `groups`, `top_groups`: experts come in groups, and only those of the best groups are chosen from
    (arXiv:2412.19437). `shared_size`: width of an expert that sees every token; `shared_gate`: through a gate.
    `weighs_inputs`: what an expert reads is multiplied with its weight, and not what it makes of it. `limit`: gates are
    clamped to it from above, and what they are multiplied with from both sides; `up_offset` is added to that.
    """

    count: int
    top_k: int
    size: int
    score: Literal["softmax", "softmax_chosen", "softmax_renormalized", "sigmoid"] = "softmax_chosen"
    scale: float = 1.0
    router_bias: bool = False
    choice_bias: bool = False
    groups: int = 1
    top_groups: int = 1
    shared_size: int = 0
    shared_gate: bool = False
    weighs_inputs: bool = False
    limit: float | None = None
    up_offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """What a decoder of attention and MLP layers is made of.

    What is one per layer: `windows`, how far it looks back (None: all the way), and `chunks`, within stretches of how
    many positions (empty or None: of all); `rotates`, whether it rotates queries and keys by position, and
    `layer_rotaries`, in which way (empty: all as `rotary` says); `sparse`, whether its MLP is a mixture of `experts`
    (empty: none is); `attention_scales`, what scores are multiplied with (empty: head_dim ** -0.5), and
    `temperatures`, how queries grow with their positions besides (empty or None: not).

    `vocab_size` counts the ids that mean something, `padded_vocab_size` the rows of the embedding (None: as many).
    `learned_positions`: rows of a learned position embedding, 0 for none. `rotary` is None where no layer rotates.
    `qk_norm`: queries and keys are normalized head by head, with weights of each head's own where `qk_norm_by_head`;
    over all heads together where `qk_norm_whole`. `norm_bias` is for norms of layers alone; `norm_offset` is added to
    the weights of norms, which have one where `norm_weight`; `final_norm`: there is one before the head.
    `attention_soft_cap`, `alibi` and `sinks`: see `plugtron.contracts.Scores`; `alibi_slopes`: of each head (empty: as
    the paper has them); `fixed_sink`: the sink of all heads where it is not learned. `qk_l2_norm`: queries and keys are
    divided by the root of their mean square, head by head, whatever the other norms are. `attention_gate`: each channel
    that attention makes is multiplied with the sigmoid of one more projection.

    For decoders that know of it: `parallel`, attention and MLP look at the same hidden states, with `shared_norm` under
    one norm; `norm_place`, what is normalized in each half f of a layer, with n = norm(h): "branch" is h + f(n),
    "stream" n + f(n), "sum" norm(h + f(h)); `embedding_size`, the width of the embedding and the head (None:
    `hidden_size`); `logit_soft_cap`; `embedding_scale`, `residual_scale` and `logit_scale`, what embeddings, the sums
    that layers add, and logits are multiplied with.
    """

    vocab_size: int
    padded_vocab_size: int | None = None
    hidden_size: int
    embedding_size: int | None = None
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    learned_positions: int = 0
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float
    norm_place: Literal["branch", "stream", "sum"] = "branch"
    norm_weight: bool = True
    norm_bias: bool = True
    final_norm: bool = True
    norm_offset: float = 0.0
    activation: ActivationName = "silu"
    gated: bool = True
    rotary: RotaryConfig | None
    windows: tuple[int | None, ...]
    chunks: tuple[int | None, ...] = ()
    rotates: tuple[bool, ...]
    layer_rotaries: tuple[RotaryConfig, ...] = ()
    sparse: tuple[bool, ...] = ()
    experts: ExpertsConfig | None = None
    attention_scales: tuple[float, ...] = ()
    temperatures: tuple[Temperature | None, ...] = ()
    attention_soft_cap: float | None = None
    alibi: bool = False
    alibi_slopes: tuple[float, ...] = ()
    sinks: bool = False
    fixed_sink: float | None = None
    attention_gate: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    qk_norm_by_head: bool = False
    qk_norm_whole: bool = False
    qk_l2_norm: bool = False
    parallel: bool = False
    shared_norm: bool = False
    logit_soft_cap: float | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    tied: bool = False
    head_bias: bool = False

    def rotary_of(self, layer: int) -> RotaryConfig | None:
        """How a layer rotates; None: it does not."""
        if not self.rotates[layer]:
            return None
        return self.layer_rotaries[layer] if self.layer_rotaries else self.rotary

    @property
    def rotaries(self) -> tuple[RotaryConfig, ...]:
        """All ways in which layers rotate, each once."""
        found = [self.rotary_of(layer) for layer in range(self.num_layers)]
        return tuple(dict.fromkeys(rotary for rotary in found if rotary is not None))

    @property
    def different_temperatures(self) -> tuple[Temperature, ...]:
        """All ways in which queries grow, each once."""
        return tuple(dict.fromkeys(each for each in self.temperatures if each is not None))

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer's MLP is a mixture of experts."""
        return bool(self.sparse) and self.sparse[layer]
