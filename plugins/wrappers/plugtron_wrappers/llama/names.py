"""The relatives of Llama: a line each. Read without torch, for what the wrapper provides."""

from __future__ import annotations

__all__ = ["RELATIVES"]

#: Class of transformers: where its peculiarities are, and llama.cpp's names for its architecture. What several have one
#: name for is read as the first of them: its files say the same of all.
RELATIVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "LlamaForCausalLM": ("plugtron_wrappers.llama.llama:Llama", ("llama",)),
    "MistralForCausalLM": ("plugtron_wrappers.llama.mistral:Mistral", ("llama",)),
    "MinistralForCausalLM": ("plugtron_wrappers.llama.ministral:Ministral", ()),
    "MixtralForCausalLM": ("plugtron_wrappers.llama.mixtral:Mixtral", ("llama",)),
    "Qwen2ForCausalLM": ("plugtron_wrappers.llama.qwen2:Qwen2", ("qwen2",)),
    "Qwen3ForCausalLM": ("plugtron_wrappers.llama.qwen3:Qwen3", ("qwen3",)),
    "SeedOssForCausalLM": ("plugtron_wrappers.llama.seed_oss:SeedOss", ("seed_oss",)),
    "SmolLM3ForCausalLM": ("plugtron_wrappers.llama.smollm3:SmolLM3", ("smollm3",)),
}
