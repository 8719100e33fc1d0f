"""How a decoder's step is run; chosen once, when its weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.execution.eager_backend import EagerBackend
    from plugtron.execution.graph_backend import GraphBackend
    from plugtron.execution.native_backend import NativeBackend
    from plugtron.execution.wrapper import DecoderWrapper

__all__ = [
    "DecoderWrapper",
    "EagerBackend",
    "GraphBackend",
    "NativeBackend",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "DecoderWrapper": "plugtron.execution.wrapper",
    "EagerBackend": "plugtron.execution.eager_backend",
    "GraphBackend": "plugtron.execution.graph_backend",
    "NativeBackend": "plugtron.execution.native_backend",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
