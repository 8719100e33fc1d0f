"""What hooks have been called, with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugtron.plugin.hookspecs import hookimpl

__all__ = ["HookRecorder"]


class HookRecorder:
    """A plugin object that writes down what observers hear: `calls` are (hook, arguments), in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def of(self, hook: str) -> list[Mapping[str, Any]]:
        """The arguments of each call of one hook."""
        return [arguments for name, arguments in self.calls if name == hook]

    @hookimpl
    def plugtron_run_started(self, run: Any) -> None:
        """Write down the beginning of a run."""
        self.calls.append(("plugtron_run_started", {"run": run}))

    @hookimpl
    def plugtron_request_finished(self, request: Any) -> None:
        """Write down a request that has ended."""
        self.calls.append(("plugtron_request_finished", {"request": request}))

    @hookimpl
    def plugtron_step_finished(self, stats: Any) -> None:
        """Write down a step."""
        self.calls.append(("plugtron_step_finished", {"stats": stats}))

    @hookimpl
    def plugtron_run_finished(self, run: Any, outcome: Any) -> None:
        """Write down the end of a run."""
        self.calls.append(("plugtron_run_finished", {"run": run, "outcome": outcome}))
