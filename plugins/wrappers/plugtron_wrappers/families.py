"""The families that are no relatives of Llama: an entry each. Read without torch, for what they provide."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAMILIES", "FamilyEntry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyEntry:
    """A family's page, what transformers and llama.cpp call its architectures, and what it runs, in a few words."""

    target: str
    huggingface: tuple[str, ...]
    gguf: tuple[str, ...] = ()
    summary: str


FAMILIES: dict[str, FamilyEntry] = {
    "bloom": FamilyEntry(
        target="plugtron_wrappers.bloom.bloom:Bloom",
        huggingface=("BloomForCausalLM",),
        summary="BLOOM and BLOOMZ",
    ),
    "falcon": FamilyEntry(
        target="plugtron_wrappers.falcon.falcon:Falcon",
        huggingface=("FalconForCausalLM",),
        summary="Falcon and Falcon 2",
    ),
    "gemma2": FamilyEntry(
        target="plugtron_wrappers.gemma.gemma2:Gemma2",
        huggingface=("Gemma2ForCausalLM",),
        summary="Gemma 2",
    ),
    "gpt_neox": FamilyEntry(
        target="plugtron_wrappers.gpt_neox.gpt_neox:GPTNeoX",
        huggingface=("GPTNeoXForCausalLM",),
        summary="GPT-NeoX and Pythia",
    ),
    "opt": FamilyEntry(
        target="plugtron_wrappers.opt.opt:OPT",
        huggingface=("OPTForCausalLM",),
        summary="OPT and Galactica",
    ),
    "starcoder2": FamilyEntry(
        target="plugtron_wrappers.starcoder.starcoder2:StarCoder2",
        huggingface=("Starcoder2ForCausalLM",),
        summary="StarCoder2",
    ),
}
