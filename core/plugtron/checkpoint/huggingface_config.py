"""What config.json says of a folder as a whole: which class, and whether its weights are quantized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError

__all__ = ["METHOD", "READ", "architecture_of", "is_backbone", "quantization_method"]

#: quantization_config.quant_method of folders that `plugtron convert` has quantized.
METHOD = "plugtron"
#: All that are read, and how their weights are held where a spec does not say: those that were published so, as stored.
READ = {METHOD: None, "mxfp4": "as_stored"}
#: Classes by model_type, for folders that name none.
_CLASSES = {
    "bloom": "BloomForCausalLM",
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "exaone4": "Exaone4ForCausalLM",
    "falcon": "FalconForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "glm": "GlmForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "granite": "GraniteForCausalLM",
    "granitemoe": "GraniteMoeForCausalLM",
    "llama": "LlamaForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
    "ministral": "MinistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "nemotron": "NemotronForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "opt": "OPTForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "plugtron": "PlugtronForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "seed_oss": "SeedOssForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
#: How names of classes end that have a head; of those without one, "Model".
_WITH_HEAD = "ForCausalLM"
#: Files of older tools that say how weights are quantized, and by which method.
_OLD_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}


def architecture_of(file: Path, configuration: Mapping[str, Any]) -> str:
    """The one class that a configuration names; without one, or of a backbone, what its model_type stands for.

    Raises:
        CheckpointError: it names none, or several.
    """
    architectures, kind = configuration.get("architectures"), configuration.get("model_type")
    if is_backbone(configuration):
        return _CLASSES[configuration["model_type"]]
    if isinstance(architectures, list) and len(architectures) == 1 and isinstance(architectures[0], str):
        return architectures[0]
    if not architectures and isinstance(kind, str) and kind in _CLASSES:
        return _CLASSES[kind]
    raise CheckpointError(
        f"{file}: architectures must name one class (got {architectures!r}), or model_type one of "
        f"{', '.join(_CLASSES)} (got {kind!r})"
    )


def is_backbone(configuration: Mapping[str, Any]) -> bool:
    """Whether a configuration names the class without a head, as folders of models for embeddings do."""
    kind = configuration.get("model_type")
    whole = _CLASSES.get(kind) if isinstance(kind, str) else None
    if whole is None or not whole.endswith(_WITH_HEAD):
        return False
    return configuration.get("architectures") == [whole.removesuffix(_WITH_HEAD) + "Model"]


def quantization_method(folder: Path, configuration: Mapping[str, Any]) -> str | None:
    """How the weights of a folder are quantized; None: they are not.

    Raises:
        CheckpointError: by a method that is not read.
    """
    written = configuration.get("quantization_config") or configuration.get("compression_config")
    if isinstance(written, dict) and written:
        flags = "bitsandbytes" if written.keys() & {"load_in_4bit", "load_in_8bit"} else None
        method = written.get("quant_method") or written.get("quant_algo") or flags or written.get("format") or "unknown"
        bits = written.get("bits") or written.get("w_bit")
        if method in READ:
            return method
    else:
        method, bits = next((kind for name, kind in _OLD_FILES.items() if (folder / name).is_file()), None), None
    if method is None:
        return None
    how = f"{method} ({bits} bits)" if bits else method
    raise CheckpointError(
        f"{folder}: its weights are quantized with {how}, which is not read; use the original folder with "
        "model.quantization: int4 or int8, or a GGUF file of the model"
    )
