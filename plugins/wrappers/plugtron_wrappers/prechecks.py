"""What can be said of a model without torch, before anything of it is loaded: for `plugtron check`."""

from __future__ import annotations

from plugtron.contracts import ModelDescription
from plugtron_wrappers.huggingface.fields import validated
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.options import FamilyOptions

__all__ = ["precheck_llama"]


def precheck_llama(model: ModelDescription, options: FamilyOptions) -> list[str]:
    """Read config.json as the wrapper will.

    Raises:
        CheckpointError: a field is missing, wrong, or asks for what this family does not compute.
    """
    if model.format == "huggingface":
        file = str(model.path / "config.json")
        refuse_unknown(model, {*LlamaFields.model_fields, *options.ignore_fields}, file, wrapper="llama")
        validated(LlamaFields, dict(model.configuration), file)
    return []
