"""Forms of quantized weights, and which weights are held in which form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.quantization.policy import AsStored, Float8, Grouped

__all__ = [
    "AsStored",
    "Float8",
    "Grouped",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "AsStored": "plugtron.quantization.policy",
    "Float8": "plugtron.quantization.policy",
    "Grouped": "plugtron.quantization.policy",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
