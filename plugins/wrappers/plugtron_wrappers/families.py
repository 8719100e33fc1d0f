"""The families that are no relatives of Llama: an entry each. Read without torch, for what they provide."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAMILIES", "FamilyEntry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyEntry:
    """A family's page and options, what transformers and llama.cpp call its architectures, and what it runs."""

    target: str
    huggingface: tuple[str, ...]
    gguf: tuple[str, ...] = ()
    options: str = "plugtron_wrappers.options:FamilyOptions"
    summary: str


FAMILIES: dict[str, FamilyEntry] = {
    "bloom": FamilyEntry(
        target="plugtron_wrappers.bloom.bloom:Bloom",
        huggingface=("BloomForCausalLM",),
        gguf=("bloom",),
        summary="BLOOM and BLOOMZ",
    ),
    "falcon": FamilyEntry(
        target="plugtron_wrappers.falcon.falcon:Falcon",
        huggingface=("FalconForCausalLM",),
        gguf=("falcon",),
        summary="Falcon and Falcon 2",
    ),
    "gemma2": FamilyEntry(
        target="plugtron_wrappers.gemma.gemma2:Gemma2",
        huggingface=("Gemma2ForCausalLM",),
        gguf=("gemma2",),
        summary="Gemma 2",
    ),
    "gemma3": FamilyEntry(
        target="plugtron_wrappers.gemma.gemma3:Gemma3",
        huggingface=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        gguf=("gemma3",),
        summary="Gemma 3, and the text part of those that see",
    ),
    "cohere": FamilyEntry(
        target="plugtron_wrappers.cohere.cohere:Cohere",
        huggingface=("CohereForCausalLM",),
        gguf=("command-r",),
        summary="Command R",
    ),
    "cohere2": FamilyEntry(
        target="plugtron_wrappers.cohere.cohere2:Cohere2",
        huggingface=("Cohere2ForCausalLM",),
        gguf=("cohere2",),
        summary="Command R7B and Command A",
    ),
    "exaone4": FamilyEntry(
        target="plugtron_wrappers.exaone.exaone4:Exaone4",
        huggingface=("Exaone4ForCausalLM",),
        gguf=("exaone4",),
        summary="EXAONE 4.0",
    ),
    "glm": FamilyEntry(
        target="plugtron_wrappers.glm.glm:GLM",
        huggingface=("GlmForCausalLM",),
        gguf=("chatglm",),
        summary="GLM-4 of 2024",
    ),
    "glm4": FamilyEntry(
        target="plugtron_wrappers.glm.glm4:GLM4",
        huggingface=("Glm4ForCausalLM",),
        gguf=("glm4",),
        summary="GLM-4 of 2025 (0414)",
    ),
    "nemotron": FamilyEntry(
        target="plugtron_wrappers.nemotron.nemotron:Nemotron",
        huggingface=("NemotronForCausalLM",),
        gguf=("nemotron",),
        summary="Nemotron-4 and Minitron",
    ),
    "ministral3": FamilyEntry(
        target="plugtron_wrappers.ministral.ministral3:Ministral3",
        huggingface=("Ministral3ForCausalLM", "Mistral3ForConditionalGeneration"),
        gguf=("mistral3",),
        summary="Ministral 3",
    ),
    "gpt_neox": FamilyEntry(
        target="plugtron_wrappers.gpt_neox.gpt_neox:GPTNeoX",
        huggingface=("GPTNeoXForCausalLM",),
        gguf=("gptneox",),
        summary="GPT-NeoX and Pythia",
    ),
    "gpt_oss": FamilyEntry(
        target="plugtron_wrappers.gpt_oss.gpt_oss:GptOss",
        huggingface=("GptOssForCausalLM",),
        gguf=("gpt-oss",),
        summary="gpt-oss",
    ),
    "granite_moe": FamilyEntry(
        target="plugtron_wrappers.granite.granite_moe:GraniteMoe",
        huggingface=("GraniteMoeForCausalLM",),
        gguf=("granitemoe",),
        summary="Granite 3 with experts, and PowerMoE",
    ),
    "llama4": FamilyEntry(
        target="plugtron_wrappers.llama4.llama4:Llama4",
        huggingface=("Llama4ForCausalLM", "Llama4ForConditionalGeneration"),
        gguf=("llama4",),
        summary="Llama 4's language model",
    ),
    "qwen2_moe": FamilyEntry(
        target="plugtron_wrappers.qwen.qwen2_moe:Qwen2Moe",
        huggingface=("Qwen2MoeForCausalLM",),
        gguf=("qwen2moe",),
        summary="Qwen1.5-MoE and Qwen2-MoE",
    ),
    "qwen3_moe": FamilyEntry(
        target="plugtron_wrappers.qwen.qwen3_moe:Qwen3Moe",
        huggingface=("Qwen3MoeForCausalLM",),
        gguf=("qwen3moe",),
        summary="Qwen3-MoE",
    ),
    "phi3": FamilyEntry(
        target="plugtron_wrappers.phi.phi3:Phi3",
        huggingface=("Phi3ForCausalLM",),
        gguf=("phi3",),
        options="plugtron_wrappers.options:Phi3Options",
        summary="Phi-3 and Phi-4-mini",
    ),
    "granite": FamilyEntry(
        target="plugtron_wrappers.granite.granite:Granite",
        huggingface=("GraniteForCausalLM",),
        gguf=("granite",),
        summary="Granite, dense",
    ),
    "olmo2": FamilyEntry(
        target="plugtron_wrappers.olmo.olmo2:Olmo2",
        huggingface=("Olmo2ForCausalLM",),
        gguf=("olmo2",),
        summary="OLMo 2",
    ),
    "opt": FamilyEntry(
        target="plugtron_wrappers.opt.opt:OPT",
        huggingface=("OPTForCausalLM",),
        summary="OPT and Galactica",
    ),
    "starcoder2": FamilyEntry(
        target="plugtron_wrappers.starcoder.starcoder2:StarCoder2",
        huggingface=("Starcoder2ForCausalLM",),
        gguf=("starcoder2",),
        summary="StarCoder2",
    ),
}
