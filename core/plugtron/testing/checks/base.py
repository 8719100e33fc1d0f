"""What holds for components of every kind."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, NoReturn

import pytest

from plugtron.plugin.component import Kind, Need
from plugtron.testing.host import Host

__all__ = ["ComponentChecks", "refuse"]

_SPAWN_LIMIT_S = 600


def refuse(reason: str) -> NoReturn:
    """Fail a check with one line."""
    pytest.fail(reason, pytrace=False)


class ComponentChecks:
    """Checks that a component of any kind has to pass. A kind has a subclass; a plugin's tests have one of that:

        class TestBan(SamplerChecks):
            plugin = "acme_samplers"
            component = "acme_ban"
            cases = ({"acme_ban": "x"},)

    Attributes:
        plugin: the module that the entry point names, or its name; None: plugtron's own parts.
        component: the component's name.
        kind: set by the subclass for a kind.
        options: what a spec says under the component's `options`.
        expected_failures: checks that fail, by name (without "test_"), and why; one that passes all the same is a
            failure, too.
    """

    plugin: ClassVar[ModuleType | str | None] = None
    component: ClassVar[str]
    kind: ClassVar[Kind]
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    expected_failures: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def host(cls) -> Host:
        """plugtron with this plugin alone."""
        return Host() if cls.plugin is None else Host(cls.plugin)

    @classmethod
    def reference(cls, host: Host) -> dict[str, Any]:
        """How a spec names the component, with its options."""
        return {"name": host.reference(cls.kind, cls.component), "options": dict(cls.options)}

    def test_is_offered(self, plugtron_host: Host) -> None:
        """The plugin offers the component, and its target can be imported."""
        plugtron_host.find(self.kind, self.component).load()

    def test_options_are_valid(self, plugtron_host: Host) -> None:
        """Options are valid as they are given, and without anything where all have defaults."""
        model = plugtron_host.find(self.kind, self.component).options_model()
        model.model_validate(dict(self.options))
        if not any(field.is_required() for field in model.model_fields.values()):
            model.model_validate({})

    def test_schema_generates(self, plugtron_host: Host) -> None:
        """A JSON Schema can be made of the options and parameters: `plugtron schema` has them all."""
        offer = plugtron_host.find(self.kind, self.component)
        for model in (offer.options_model(), offer.params_model()):
            if model is not None:
                json.dumps(model.model_json_schema())

    def test_has_a_summary(self, plugtron_host: Host) -> None:
        """Lists show a line on what it is."""
        summary = plugtron_host.find(self.kind, self.component).component.summary
        if not summary or "\n" in summary:
            refuse(f"summary is {summary!r}: one line is shown by 'plugtron components'")

    def test_needs_are_known(self, plugtron_host: Host) -> None:
        """`needs` and `provides` are sets of what there is."""
        component = plugtron_host.find(self.kind, self.component).component
        unknown = set(component.needs) - set(Need)
        if unknown:
            refuse(f"needs {sorted(map(str, unknown))}, which no plugtron.Need is (accepted: {', '.join(Need)})")

    def test_survives_spawn(self, plugtron_host: Host) -> None:
        """Other ranks find it, too: a process that starts from nothing loads it by its names."""
        plugin = self.plugin.__name__ if isinstance(self.plugin, ModuleType) else self.plugin
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            found = pool.apply_async(_load, (plugin, self.kind, self.component)).get(_SPAWN_LIMIT_S)
        expected = plugtron_host.find(self.kind, self.component).component.target
        if found != expected:
            refuse(f"in another process its target is {found!r}, here {expected!r}")


def _load(plugin: str | None, kind: Kind, name: str) -> str:
    host = Host() if plugin is None else Host(plugin)
    offer = host.find(kind, name)
    offer.load()
    return offer.component.target
