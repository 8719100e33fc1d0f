"""Reading checkpoints: safetensors folders, GGUF files, Megatron's folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.checkpoint.gguf.reader import GGUFReader
    from plugtron.checkpoint.megatron.reader import MegatronReader
    from plugtron.checkpoint.safetensors import SafetensorsReader

__all__ = [
    "GGUFReader",
    "MegatronReader",
    "SafetensorsReader",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "GGUFReader": "plugtron.checkpoint.gguf.reader",
    "MegatronReader": "plugtron.checkpoint.megatron.reader",
    "SafetensorsReader": "plugtron.checkpoint.safetensors",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
