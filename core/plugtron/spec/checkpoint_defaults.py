"""How the authors of a checkpoint would have it sampled: `sampling_defaults: checkpoint`."""

from __future__ import annotations

from typing import Any

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.request.sampling_params import SamplingParams
from plugtron.utils.json_file import read_mapping

__all__ = ["checkpoint_defaults"]

_NAMES = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
)
#: Keys below general.sampling in a GGUF file, by our names for them.
_GGUF = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "penalty_repeat",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}


def checkpoint_defaults(model: ModelDescription) -> dict[str, Any]:
    """Return the sampling parameters of generation_config.json, or of a GGUF file's general.sampling keys.

    A GenerationConfig that does not sample (`do_sample`) takes the most likely token.

    Raises:
        CheckpointError: a value is out of range; with the file.
    """
    if model.format == "gguf":
        place = str(model.path)
        values = {name: model.configuration.get(f"general.sampling.{key}") for name, key in _GGUF.items()}
    else:
        file = model.path / "generation_config.json"
        place = str(file)
        written = read_mapping(file, CheckpointError) if file.is_file() else {}
        values = {name: written.get(name) for name in _NAMES}
        if written.get("do_sample") is False:
            values["temperature"] = 0.0
    found = {name: value for name, value in values.items() if value is not None}
    try:
        SamplingParams.from_flat(found)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
    return found
