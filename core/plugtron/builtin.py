"""The tokenizers and checkpoint readers that live in the core, offered like any plugin's."""

from __future__ import annotations

from plugtron.component import Component
from plugtron.hooks import hookimpl

__all__ = ["plugtron_checkpoints", "plugtron_tokenizers"]


@hookimpl
def plugtron_checkpoints() -> list[Component]:
    """safetensors and GGUF."""
    return [
        Component(
            name="safetensors",
            target="plugtron.checkpoint.safetensors:SafetensorsReader",
            summary="Hugging Face folders: config.json and safetensors, single or sharded",
        ),
        Component(
            name="gguf",
            target="plugtron.checkpoint.gguf:GGUFReader",
            summary="GGUF files of llama.cpp, plain and quantised",
        ),
    ]


@hookimpl
def plugtron_tokenizers() -> list[Component]:
    """tokenizer.json, GGUF metadata, sentencepiece."""
    return [
        Component(
            name="huggingface",
            target="plugtron.tokenizer.huggingface:HuggingFaceTokenizer",
            options="plugtron.tokenizer.options:PathOptions",
            summary="tokenizer.json of a Hugging Face folder",
            provides=frozenset({"tokenizer.json"}),
        ),
        Component(
            name="gguf",
            target="plugtron.tokenizer.gguf:GGUFTokenizer",
            options="plugtron.tokenizer.options:PathOptions",
            summary="the tokenizer inside a GGUF file, kinds gpt2 and llama",
            provides=frozenset({"gguf"}),
        ),
        Component(
            name="sentencepiece",
            target="plugtron.tokenizer.sentencepiece:SentencePieceTokenizer",
            options="plugtron.tokenizer.options:PathOptions",
            summary="a sentencepiece .model file",
            provides=frozenset({"tokenizer.model"}),
        ),
    ]
