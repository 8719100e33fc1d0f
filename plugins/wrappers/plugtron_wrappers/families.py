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
    "gemma2": FamilyEntry(
        target="plugtron_wrappers.gemma.gemma2:Gemma2",
        huggingface=("Gemma2ForCausalLM",),
        summary="Gemma 2",
    ),
    "gemma3": FamilyEntry(
        target="plugtron_wrappers.gemma.gemma3:Gemma3",
        huggingface=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        summary="Gemma 3, and the text part of those that see",
    ),
    "gpt_neox": FamilyEntry(
        target="plugtron_wrappers.gpt_neox.gpt_neox:GPTNeoX",
        huggingface=("GPTNeoXForCausalLM",),
        summary="GPT-NeoX and Pythia",
    ),
    "phi3": FamilyEntry(
        target="plugtron_wrappers.phi.phi3:Phi3",
        huggingface=("Phi3ForCausalLM",),
        options="plugtron_wrappers.options:Phi3Options",
        summary="Phi-3 and Phi-4-mini",
    ),
    "granite": FamilyEntry(
        target="plugtron_wrappers.granite.granite:Granite",
        huggingface=("GraniteForCausalLM",),
        summary="Granite, dense",
    ),
    "olmo2": FamilyEntry(
        target="plugtron_wrappers.olmo.olmo2:Olmo2",
        huggingface=("Olmo2ForCausalLM",),
        summary="OLMo 2",
    ),
}
