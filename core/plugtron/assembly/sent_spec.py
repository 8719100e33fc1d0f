"""A resolved spec as text, for another process that is to resolve the same over the same plugins."""

from __future__ import annotations

import json

from plugtron.plugin.manager import PluginManager
from plugtron.spec.dump import plain_data
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["receive_spec", "send_spec"]


def send_spec(resolved: ResolvedSpec, manager: PluginManager) -> str:
    """All that another process needs."""
    given = {
        "disable": list(manager.disable),
        "builtins_only": manager.builtins_only,
        "files": [str(file) for file in manager.files],
    }
    return json.dumps({"spec": plain_data(resolved), "plugins": given})


def receive_spec(text: str) -> tuple[ResolvedSpec, PluginManager]:
    """Resolve it here.

    Raises:
        SpecError, PluginError: something of it is not here.
    """
    sent = json.loads(text)
    manager = PluginManager(**sent["plugins"])
    return resolve(Source(values=sent["spec"]), manager), manager
