"""The model wrappers that come with plugtron."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl
from plugtron_wrappers.families import FAMILIES
from plugtron_wrappers.llama.names import RELATIVES

__all__ = ["plugtron_wrappers"]


@hookimpl
def plugtron_wrappers() -> list[Component]:
    """The Llama family, GPT, and the others."""
    return [
        Component(
            name="gpt",
            target="plugtron_wrappers.gpt:GPTWrapper",
            options="plugtron_wrappers.options:GPTOptions",
            summary="what Megatron Core trains as GPTModel, dense or with experts; GPT-2",
            needs=frozenset({Need.CHECKPOINT, Need.TOKENIZER}),
            provides=frozenset(
                {
                    "megatron/GPTModel",
                    "huggingface/GPT2LMHeadModel",
                    "huggingface/PlugtronForCausalLM",
                    "gguf/gpt2",
                }
            ),
        ),
        Component(
            name="llama",
            target="plugtron_wrappers.llama:LlamaWrapper",
            options="plugtron_wrappers.options:FamilyOptions",
            precheck="plugtron_wrappers.prechecks:precheck_llama",
            summary="Llama, and what is Llama in all but name: Mistral, Ministral, Mixtral, Qwen2, Qwen3, "
            "Seed-OSS, SmolLM, Yi, TinyLlama",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset(
                {f"huggingface/{name}" for name in RELATIVES}
                | {f"gguf/{name}" for _, names in RELATIVES.values() for name in names}
            ),
        ),
        *(
            Component(
                name=name,
                target=entry.target,
                options=entry.options,
                summary=entry.summary,
                needs=frozenset({Need.CHECKPOINT}),
                provides=frozenset(
                    {f"huggingface/{each}" for each in entry.huggingface} | {f"gguf/{each}" for each in entry.gguf}
                ),
            )
            for name, entry in FAMILIES.items()
        ),
    ]
