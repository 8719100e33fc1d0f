"""Small helpers that know nothing of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import load_target, loader

if TYPE_CHECKING:
    from plugtron.utils.json_file import read_mapping
    from plugtron.utils.transfers import transfer
    from plugtron.utils.turn_lock import TurnLock
    from plugtron.utils.validation import Form, Location, describe, plain

__all__ = [
    "Form",
    "Location",
    "TurnLock",
    "describe",
    "load_target",
    "loader",
    "plain",
    "read_mapping",
    "transfer",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Form": "plugtron.utils.validation",
    "Location": "plugtron.utils.validation",
    "TurnLock": "plugtron.utils.turn_lock",
    "describe": "plugtron.utils.validation",
    "plain": "plugtron.utils.validation",
    "read_mapping": "plugtron.utils.json_file",
    "transfer": "plugtron.utils.transfers",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
