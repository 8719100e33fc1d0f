"""Under torchrun: whether all ranks have the same software."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from plugtron.diagnosis.line import Line
from plugtron.plugin.manager import PluginManager

__all__ = ["rank_lines"]


def rank_lines(manager: PluginManager) -> Iterator[Line]:
    """Compare the ranks of the job that torchrun has started; every rank has to call this."""
    # Imported here: alone, nobody has to be met, and no torch imported.
    from plugtron.parallel.world import launched

    world = launched()
    if world is None:
        return
    try:
        everyone: list[dict[str, str]] = world.group().all_gather_json(_own(manager))
    finally:
        world.close()
    differing = False
    for rank, theirs in enumerate(everyone):
        for what in dict.fromkeys([*everyone[0], *theirs]):
            expected, found = everyone[0].get(what, "nothing"), theirs.get(what, "nothing")
            if expected != found:
                differing = True
                text = f"rank {rank} has {what} {found}, rank 0 {expected}"
                yield Line(status="fail", topic="ranks", text=text, remedy="install the same on every machine")
    if not differing:
        yield Line(status="ok", topic="ranks", text=f"{len(everyone)} ranks have the same software")


def _own(manager: PluginManager) -> dict[str, str]:
    plugins = {
        f"plugin {plugin.name} ({plugin.distribution})": f"{plugin.version}, {plugin.state}"
        for plugin in manager.plugins
    }
    return {"python": platform.python_version(), "torch": version("torch"), **plugins}
