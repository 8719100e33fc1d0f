"""KV memory: how it is laid out, given out and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.context.memory_size import bytes_per_token, free_memory
    from plugtron.context.paged import PagedInferenceContext
    from plugtron.context.prefix_disk import PrefixDisk
    from plugtron.context.static import StaticInferenceContext

__all__ = [
    "PagedInferenceContext",
    "PrefixDisk",
    "StaticInferenceContext",
    "bytes_per_token",
    "free_memory",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "PagedInferenceContext": "plugtron.context.paged",
    "PrefixDisk": "plugtron.context.prefix_disk",
    "StaticInferenceContext": "plugtron.context.static",
    "bytes_per_token": "plugtron.context.memory_size",
    "free_memory": "plugtron.context.memory_size",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
