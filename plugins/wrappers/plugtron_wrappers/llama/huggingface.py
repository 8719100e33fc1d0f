"""From the config.json of the Llama family to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from plugtron.contracts import ModelDescription
from plugtron.nn import DecoderConfig
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.fields import validated
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import relative_of

__all__ = ["config_from_huggingface"]


def config_from_huggingface(model: ModelDescription, ignored: frozenset[str]) -> DecoderConfig:
    """Translate config.json; `ignored` are unknown fields that the user vouches for.

    Raises:
        CheckpointError: a field is missing, wrong, or asks for what this family does not compute.
    """
    file = str(model.path / "config.json")
    refuse_unknown(model, {*LlamaFields.model_fields, *ignored}, file, wrapper="llama")
    relative = relative_of(model.architecture)
    fields = validated(LlamaFields, {**relative.defaults, **model.configuration}, file)
    plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
    return relative.from_huggingface(plain, fields, file)
