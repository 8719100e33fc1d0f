"""The metadata of a GGUF file that is used here: of which type, and in which range. Anything may stand in a file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["wrong_field"]

_LONGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value has to be, in words and as a test."""

    words: str
    fits: Callable[[Any], bool]


def _integer(low: int, high: int = _LONGEST) -> _Kind:
    return _Kind(f"a whole number from {low} to {high}", lambda value: _is_integer(value) and low <= value <= high)


def _per_layer(low: int, high: int = _LONGEST) -> _Kind:
    """One number for all layers, or one for each."""
    one = _integer(low, high)
    return _Kind(
        f"{one.words}, or a list of them",
        lambda value: one.fits(value) or (isinstance(value, list) and bool(value) and all(map(one.fits, value))),
    )


def _number(low: float, high: float) -> _Kind:
    return _Kind(f"a number from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high)


def _flags_or(kind: _Kind) -> _Kind:
    """One number, or true or false for each layer."""
    return _Kind(
        f"{kind.words}, or a list of true and false",
        lambda value: (
            kind.fits(value)
            or (isinstance(value, list) and bool(value) and all(isinstance(each, bool) for each in value))
        ),
    )


def _list(words: str, fits: Callable[[Any], bool]) -> _Kind:
    return _Kind(f"a list of {words}", lambda value: isinstance(value, list) and all(map(fits, value)))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


_TEXT = _Kind("a text", lambda value: isinstance(value, str))
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))

#: By key; where a key begins with an architecture's name, that is written as {arch}.
_FIELDS: Mapping[str, _Kind] = {
    "general.architecture": _TEXT,
    "general.alignment": _Kind(
        "a power of two from 8 to 65536", lambda value: _is_integer(value) and value in [2**n for n in range(3, 17)]
    ),
    "general.file_type": _integer(0),
    "split.no": _integer(0, 65535),
    "split.count": _integer(0, 65535),
    "split.tensors.count": _integer(0),
    "tokenizer.chat_template": _TEXT,
    "tokenizer.ggml.model": _TEXT,
    "tokenizer.ggml.pre": _TEXT,
    "tokenizer.ggml.tokens": _list("texts", lambda value: isinstance(value, str)),
    "tokenizer.ggml.merges": _list("texts", lambda value: isinstance(value, str)),
    "tokenizer.ggml.scores": _list("numbers", lambda value: _is_integer(value) or isinstance(value, float)),
    "tokenizer.ggml.token_type": _list(
        "whole numbers from 0 to 6", lambda value: _is_integer(value) and 0 <= value <= 6
    ),
    "tokenizer.ggml.add_bos_token": _FLAG,
    "tokenizer.ggml.add_eos_token": _FLAG,
    "tokenizer.ggml.add_space_prefix": _FLAG,
    "{arch}.attention.head_count": _per_layer(1, 65536),
    "{arch}.attention.head_count_kv": _per_layer(1, 65536),
    "{arch}.attention.key_length": _integer(1, 65536),
    "{arch}.attention.value_length": _integer(1, 65536),
    "{arch}.attention.layer_norm_epsilon": _number(1e-12, 0.1),
    "{arch}.attention.layer_norm_rms_epsilon": _number(1e-12, 0.1),
    "{arch}.attention.scale": _number(0.0, 1e6),
    "{arch}.attention.sliding_window": _per_layer(0),
    "{arch}.attention.sliding_window_pattern": _flags_or(_integer(0, 10_000)),
    "{arch}.attention.temperature_scale": _number(0.0, 1e6),
    "{arch}.attn_logit_softcapping": _number(1e-3, 1e6),
    "{arch}.block_count": _integer(1, 10_000),
    "{arch}.context_length": _integer(1),
    "{arch}.embedding_length": _integer(1, 2**20),
    "{arch}.embedding_scale": _number(0.0, 1e6),
    "{arch}.expert_count": _integer(0, 65535),
    "{arch}.expert_feed_forward_length": _per_layer(0, 2**22),
    "{arch}.expert_gating_func": _integer(0, 3),
    "{arch}.expert_shared_feed_forward_length": _integer(0, 2**22),
    "{arch}.expert_used_count": _per_layer(0, 65535),
    "{arch}.expert_weights_norm": _FLAG,
    "{arch}.expert_weights_scale": _number(0.0, 1e6),
    "{arch}.final_logit_softcapping": _number(1e-3, 1e6),
    "{arch}.feed_forward_length": _per_layer(1, 2**22),
    "{arch}.interleave_moe_layer_step": _integer(0, 10_000),
    "{arch}.logit_scale": _number(1e-6, 1e6),
    "{arch}.residual_scale": _number(0.0, 1e6),
    "{arch}.rope.dimension_count": _integer(1, 65536),
    "{arch}.rope.freq_base": _number(1.0, 1e12),
    "{arch}.rope.freq_base_swa": _number(1.0, 1e12),
    "{arch}.rope.scale_linear": _number(0.0, 1e6),
    "{arch}.rope.scaling.finetuned": _FLAG,
    "{arch}.rope.scaling.type": _TEXT,
    "{arch}.rope.scaling.factor": _number(0.0, 1e6),
    "{arch}.rope.scaling.attn_factor": _number(1e-3, 1e3),
    "{arch}.rope.scaling.original_context_length": _integer(1),
    "{arch}.rope.scaling.yarn_attn_factor": _number(1e-3, 1e3),
    "{arch}.rope.scaling.yarn_beta_fast": _number(1e-3, 1e6),
    "{arch}.rope.scaling.yarn_beta_slow": _number(1e-3, 1e6),
    "{arch}.rope.scaling.yarn_log_multiplier": _number(0.0, 1e3),
    "{arch}.use_parallel_residual": _FLAG,
    "{arch}.vocab_size": _integer(1, 2**24),
}
_TOKEN_ID = re.compile(r"tokenizer\.ggml\.\w+_token_id")


def wrong_field(key: str, value: Any, architecture: object) -> str | None:
    """Say what is wrong with a value; None where nothing is, or where the key is not used here."""
    if key.startswith("tokenizer.chat_template."):
        kind: _Kind | None = _TEXT
    elif _TOKEN_ID.fullmatch(key):
        kind = _integer(0)
    elif isinstance(architecture, str) and key.startswith(f"{architecture}."):
        kind = _FIELDS.get("{arch}" + key[len(architecture) :])
    else:
        kind = _FIELDS.get(key)
    if kind is None or kind.fits(value):
        return None
    return f"{key} must be {kind.words} (got {_short(value)})"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
