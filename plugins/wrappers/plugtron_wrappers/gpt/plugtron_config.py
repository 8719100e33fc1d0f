"""plugtron's own config.json, for decoders that no class of transformers computes: the DecoderConfig itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig

__all__ = ["PLAIN_ARCHITECTURE", "config_from_plain", "plain_config"]

PLAIN_ARCHITECTURE = "PlugtronForCausalLM"


def plain_config(config: DecoderConfig) -> dict[str, Any]:
    """What config.json says of a decoder."""
    return {"model_type": "plugtron", "vocab_size": config.vocab_size, "decoder": asdict(config)}


def config_from_plain(model: ModelDescription) -> DecoderConfig:
    """The inverse of `plain_config`.

    Raises:
        CheckpointError: a field of `decoder` is missing, unknown or wrong.
    """
    place = f"{model.path / 'config.json'}: decoder"
    values = model.configuration.get("decoder")
    if not isinstance(values, dict):
        raise CheckpointError(f"{place} is missing")
    try:
        config = TypeAdapter(DecoderConfig).validate_python(values)
    except ValidationError as error:
        texts = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        raise CheckpointError(f"{place}: {'; '.join(texts)}") from None
    optional = ("sparse", "attention_scales", "temperatures")
    for name in ("windows", "rotates", *(name for name in optional if getattr(config, name))):
        if len(getattr(config, name)) != config.num_layers:
            raise CheckpointError(f"{place}.{name}: one entry per layer is needed")
    return config
