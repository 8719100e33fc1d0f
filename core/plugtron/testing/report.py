"""What checks found, in a file that a plugin's release can carry."""

from __future__ import annotations

import json
import platform
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Report"]


class Report:
    """A plugin of pytest that gathers the outcomes of checks and writes them as JSON at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checks: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the outcome of a check down."""
        properties = dict(report.user_properties)
        # Set-up that works, and every tear-down, say nothing of a check.
        silent = report.when == "teardown" or (report.when == "setup" and report.passed)
        if "plugtron_check" not in properties or silent:
            return
        outcome = "expected failure" if hasattr(report, "wasxfail") else report.outcome
        self._checks.append(
            {
                "plugin": properties.pop("plugtron_plugin"),
                "component": properties.pop("plugtron_component"),
                "check": properties.pop("plugtron_check"),
                "test": report.nodeid,
                "outcome": outcome,
                "reason": _reason(report),
                "seconds": round(report.duration, 3),
                "figures": properties,
            }
        )

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        from plugtron.plugin.api_version import API_VERSION

        names = {
            "plugtron",
            "torch",
            "pytest",
            *_distributions({check["plugin"] for check in self._checks} - {"plugtron"}),
        }
        versions = {name: version(name) for name in sorted(names)}

        found = {"python": platform.python_version(), "versions": versions, "api": API_VERSION, "checks": self._checks}
        self._path.write_text(json.dumps(found, indent=2) + "\n")


def _distributions(modules: set[str]) -> set[str]:
    """The distributions that plugins' modules come from, as far as they are installed."""
    if not modules:
        return set()
    owners = packages_distributions()
    return {name for module in modules for name in owners.get(module.partition(".")[0], ())}


def _reason(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail).removeprefix("reason: ")
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else crash.message
    return text.strip().splitlines()[0].removeprefix("Failed: ")
