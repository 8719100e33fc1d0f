"""A command. This module is what plugtron imports to list it; the command is imported when it is called."""

from __future__ import annotations

from plugtron import Component, hookimpl

__all__ = ["PLUGTRON_API", "plugtron_commands"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_commands() -> list[Component]:
    """One verb."""
    return [Component(name="report", target="plugtron_report.command:report", summary="summarize a results file")]
