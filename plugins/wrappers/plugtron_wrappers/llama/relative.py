"""What tells a relative of Llama apart: the base of the files beside this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron.utils import load_target
from plugtron_wrappers.gguf.weights import NORMS
from plugtron_wrappers.huggingface.fields import windows_of
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.names import RELATIVES

__all__ = ["Relative", "is_plain", "relative_of", "relatives", "windows_by_layer"]


class Relative:
    """One class of transformers, and the GGUF files of its models; as it stands, nothing is peculiar.

    Attributes:
        defaults: what the class means by a field that config.json leaves out, where it differs from Llama's.
        permuted: llama.cpp stores rotary pairs as neighbors in queries and keys.
        gguf_norms: norms of a layer, and their names in GGUF files.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    permuted: ClassVar[bool] = False
    gguf_norms: ClassVar[Mapping[str, str]] = NORMS

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Return the decoder that config.json describes, from what it would be for a Llama without biases and windows.

        Raises:
            CheckpointError: with `file` and the field that is wrong.
        """
        del fields, file
        return plain

    @classmethod
    def from_gguf(cls, plain: DecoderConfig) -> DecoderConfig:
        """Return the decoder that a GGUF file describes, from what its metadata and tensors say."""
        return plain

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """Whether the class of transformers computes a decoder that is like Llama's (see export)."""
        del config
        return False

    @classmethod
    def written(cls, config: DecoderConfig) -> dict[str, Any]:
        """The fields of its config.json beside those that all have."""
        del config
        return {}


def relative_of(architecture: str) -> type[Relative]:
    """The relative of a class of transformers, or of an architecture of llama.cpp."""
    for name, (target, gguf) in RELATIVES.items():
        if architecture == name or architecture in gguf:
            return load_target(target)
    raise LookupError(architecture)


def relatives() -> Iterator[tuple[str, type[Relative]]]:
    """All of them, with the names of their classes of transformers."""
    for name, (target, _) in RELATIVES.items():
        yield name, load_target(target)


def windows_by_layer(fields: LlamaFields, file: str) -> tuple[int | None, ...]:
    """How far each layer looks back, where `use_sliding_window` says that some do: by layer_types, or the last ones."""
    layers, window = fields.num_hidden_layers, fields.sliding_window
    if not fields.use_sliding_window:
        return (None,) * layers
    if fields.layer_types is not None:
        return windows_of(fields.layer_types, window, layers, file)
    first = layers if fields.max_window_layers is None else fields.max_window_layers
    return tuple(window if layer >= first else None for layer in range(layers))


def is_plain(config: DecoderConfig) -> bool:
    """Whether a decoder has neither biases, norms of queries and keys, windows, nor experts."""
    biases = config.qkv_bias or config.output_bias or config.mlp_bias
    normed = config.qk_norm or config.qk_norm_whole
    return not (biases or normed or any(config.windows) or any(config.sparse))
