"""How a decoder's step is run; chosen once, when its weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.execution.wrapper import DecoderWrapper

__all__ = ["DecoderWrapper"]

if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, {"DecoderWrapper": "plugtron.execution.wrapper"})
