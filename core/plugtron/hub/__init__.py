"""Names of models, and where their files are or come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.hub.locate import fetch, locate

__all__ = [
    "fetch",
    "locate",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "fetch": "plugtron.hub.locate",
    "locate": "plugtron.hub.locate",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
