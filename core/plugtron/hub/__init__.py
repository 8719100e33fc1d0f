"""Names of models, and where their files are or come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.hub.location import fetch, locate

__all__ = [
    "fetch",
    "locate",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "fetch": "plugtron.hub.location",
    "locate": "plugtron.hub.location",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
