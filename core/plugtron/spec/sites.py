"""Where a spec names its parts, and what it means where it does not."""

from __future__ import annotations

from plugtron.plugin.component import Kind
from plugtron.spec.load import Place

__all__ = ["AUTO", "LATE", "SITES"]

AUTO = "auto"
SITES: tuple[tuple[Kind, Place, str | None], ...] = (
    (Kind.WRAPPER, ("model", "wrapper"), AUTO),
    (Kind.TOKENIZER, ("tokenizer",), AUTO),
    (Kind.ENGINE, ("engine",), "static"),
    (Kind.CONTROLLER, ("controller",), "text_generation"),
    (Kind.EXECUTION, ("execution",), AUTO),
    (Kind.ATTENTION, ("attention",), AUTO),
    (Kind.QUANTIZATION, ("model", "quantization"), None),
)
#: Kinds whose `auto` is settled when the model is loaded, by the machine.
LATE = (Kind.EXECUTION, Kind.ATTENTION)
