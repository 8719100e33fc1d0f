"""Fixtures for tests of plugins, and reports of their checks. Loaded by every pytest; does nothing until asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from plugtron.plugin.probe import Probe
    from plugtron.testing.checks.base import PluginChecks
    from plugtron.testing.host import Host
    from plugtron.testing.recorder import HookRecorder

__all__ = [
    "plugtron_hooks",
    "plugtron_host",
    "plugtron_model",
    "plugtron_probe",
    "plugtron_ranks",
    "plugtron_spec",
    "plugtron_subject",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --plugtron-report."""
    group = parser.getgroup("plugtron")
    group.addoption("--plugtron-report", metavar="FILE", help="write what plugtron's conformance checks found, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Begin a report where one is asked for."""
    path = config.getoption("--plugtron-report")
    if path and not hasattr(config, "workerinput"):
        from plugtron.testing.report import Report

        config.pluginmanager.register(Report(Path(path)), "plugtron-report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the failures that a class of checks names."""
    for item in items:
        checks = _checks_of(item)
        if checks is None:
            continue
        name = getattr(item, "originalname", item.name).removeprefix("test_")
        unknown = [check for check in checks.expected_failures if not hasattr(checks, f"test_{check}")]
        if unknown:
            raise pytest.UsageError(f"{checks.__name__}.expected_failures: {', '.join(unknown)} is no check of it")
        if name in checks.expected_failures:
            item.add_marker(pytest.mark.xfail(reason=checks.expected_failures[name], strict=True))
        item.user_properties += [
            ("plugtron_plugin", checks.module_name() or "plugtron"),
            ("plugtron_component", checks.subject_name()),
            ("plugtron_check", name),
        ]


def _checks_of(item: pytest.Item) -> type[PluginChecks] | None:
    """The class of checks that a test belongs to."""
    module = sys.modules.get("plugtron.testing.checks.base")  # not there: nobody has asked for checks
    owner = getattr(item, "cls", None)
    return owner if module is not None and owner is not None and issubclass(owner, module.PluginChecks) else None


@pytest.fixture(scope="class")
def plugtron_host(request: pytest.FixtureRequest) -> Host:
    """plugtron without discovery, with the plugin of a class of checks."""
    from plugtron.testing.host import Host

    plugin = getattr(request.cls, "plugin", None)
    return Host() if plugin is None else Host(plugin)


@pytest.fixture(scope="class")
def plugtron_probe(request: pytest.FixtureRequest) -> Probe:
    """What importing the plugin of a class of checks does, in a process of its own."""
    checks: Any = request.cls  # the class of checks that the test is in
    return checks.probe()


@pytest.fixture(scope="class")
def plugtron_subject(
    request: pytest.FixtureRequest, plugtron_host: Host, plugtron_model: Callable[..., Path]
) -> Iterator[Any]:
    """What a class of checks looks at: its component, built."""
    checks: Any = request.cls  # the class of checks that the test is in
    with checks.subject(plugtron_host, plugtron_model) as subject:
        yield subject


@pytest.fixture(scope="session")
def plugtron_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from one of `plugtron.testing.SHAPES` to the folder of a small random model of that shape."""
    from plugtron.testing.models import write_model

    folder, made = tmp_path_factory.mktemp("plugtron_models"), dict[str, Path]()

    def model(shape: str = "plain") -> Path:
        if shape not in made:
            made[shape] = write_model(folder / shape, shape)
        return made[shape]

    return model


@pytest.fixture
def plugtron_spec(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a spec file of the values it is given, and returns its path."""

    def write(**values: Any) -> Path:
        import yaml

        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump({"version": 1, **values}, sort_keys=False))
        return path

    return write


@pytest.fixture
def plugtron_ranks() -> Callable[..., list[Any]]:
    """A function (ranks, function, *arguments): what a function returns on each of several ranks."""
    from plugtron.testing.ranks import run_on_ranks

    return run_on_ranks


@pytest.fixture
def plugtron_hooks() -> HookRecorder:
    """A plugin object that records the hooks it hears."""
    from plugtron.testing.recorder import HookRecorder

    return HookRecorder()
