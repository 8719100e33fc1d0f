"""What a plugin that checks specs is handed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["CheckedSpec"]


class CheckedSpec(Protocol):
    """A spec whose own fields and whose components' options are valid."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The spec as plain data, every default written out: what `plugtron show` prints."""
        ...

    def uses(self, kind: str, name: str) -> bool:
        """Whether the spec has chosen this component."""
        ...
