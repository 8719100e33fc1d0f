"""Packages that are known to provide what nobody here does: an index of names, read when one is not found."""

from __future__ import annotations

import json
from importlib.resources import files

from plugtron.plugin.component import Kind

__all__ = ["provided_by"]


def provided_by(kind: Kind, name: str) -> str:
    """Say which package offers a component of this name, or what `auto` looks for; "" where none is known to."""
    index = json.loads((files("plugtron.plugin") / "known_packages.json").read_text())
    package = index.get(kind.value, {}).get(name)
    if package is None:
        return ""
    return f". The package {package} provides it: it is in examples/plugins of plugtron's sources."
