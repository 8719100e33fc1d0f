"""From a resolved spec to something that runs: ranks, model, parts, and the session that runs requests over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.assembly.dtypes import choose_dtype
    from plugtron.assembly.second_model import load_wrapper
    from plugtron.assembly.session import Session
    from plugtron.assembly.start import assemble

__all__ = [
    "Session",
    "assemble",
    "choose_dtype",
    "load_wrapper",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Session": "plugtron.assembly.session",
    "assemble": "plugtron.assembly.start",
    "choose_dtype": "plugtron.assembly.dtypes",
    "load_wrapper": "plugtron.assembly.second_model",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
