"""What holds for plugins, and for components of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, NoReturn

import pytest
from pydantic import PydanticUserError, ValidationError

from plugtron.errors import PluginError
from plugtron.plugin.component import Kind
from plugtron.plugin.probe import Probe, probe
from plugtron.testing.host import Host

__all__ = ["ComponentChecks", "PluginChecks", "refuse"]

#: How long importing a plugin may take, in seconds, beyond plugtron itself.
_IMPORT_LIMIT_S = 0.3
_TRIES = 3


def refuse(reason: str) -> NoReturn:
    """Fail a check with one line."""
    pytest.fail(reason, pytrace=False)


class PluginChecks:
    """Checks that any plugin has to pass: what its module does when plugtron imports it.

    Attributes:
        plugin: the module that the entry point names, or its name; None: plugtron's own parts.
        expected_failures: checks that fail, by name (without "test_"), and why; one that passes all the same is a
            failure, too.
    """

    plugin: ClassVar[ModuleType | str | None] = None
    expected_failures: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def subject_name(cls) -> str:
        """What reports call it."""
        return cls.module_name() or "plugtron"

    @classmethod
    def module_name(cls) -> str | None:
        """The name of the plugin's module."""
        return cls.plugin.__name__ if isinstance(cls.plugin, ModuleType) else cls.plugin

    @classmethod
    def probe(cls) -> Probe:
        """Import the plugin's module in a process of its own."""
        return probe([cls.module_name() or "plugtron.plugin.builtin"])[0]

    def test_imports(self, plugtron_probe: Probe) -> None:
        """The module can be imported by itself, in a process that has imported nothing else of the plugin."""
        if plugtron_probe.error is not None:
            refuse(f"importing {plugtron_probe.target} fails: {plugtron_probe.error}")

    def test_imports_without_torch(self, plugtron_probe: Probe) -> None:
        """Verbs that run no model do without torch; targets may import it."""
        if plugtron_probe.imports_torch:
            refuse(f"importing {plugtron_probe.target} imports torch: name what needs it in a target")

    def test_starts_no_cuda(self, plugtron_probe: Probe) -> None:
        """A process that has started CUDA cannot fork, and keeps memory of a device that it may not use."""
        if plugtron_probe.starts_cuda:
            refuse(f"importing {plugtron_probe.target} starts CUDA")

    def test_imports_quietly(self, plugtron_probe: Probe) -> None:
        """Nothing is printed: standard output is for results."""
        said = (plugtron_probe.stdout + plugtron_probe.stderr).strip()
        if said:
            refuse(f"importing {plugtron_probe.target} prints {said.splitlines()[0]!r}")

    def test_imports_fast(self, plugtron_probe: Probe, record_property: Callable[[str, object], None]) -> None:
        """Every command of every user waits for it. The best of a few tries counts, for the sake of busy machines."""
        best = plugtron_probe.seconds
        for _ in range(_TRIES - 1):
            if best > _IMPORT_LIMIT_S:
                best = min(best, self.probe().seconds)
        record_property("import_seconds", round(best, 4))
        if best > _IMPORT_LIMIT_S:
            refuse(f"importing {plugtron_probe.target} takes {best:.1f} s (accepted: {_IMPORT_LIMIT_S} s)")

    def test_loads(self) -> None:
        """plugtron takes the hooks, with the parameters that they have, and all that they offer."""
        if self.plugin is not None:
            try:
                Host(self.plugin)
            except PluginError as error:
                refuse(str(error))


class ComponentChecks(PluginChecks):
    """Checks that a component of any kind has to pass. A kind has a subclass; a plugin's tests have one of that:

        class TestBan(SamplerChecks):
            plugin = "acme_samplers"
            component = "acme_ban"
            cases = ({"acme_ban": "x"},)

    Attributes:
        component: the component's name.
        kind: set by the subclass for a kind.
        options: what a spec says under the component's `options`.
    """

    component: ClassVar[str]
    kind: ClassVar[Kind]
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @classmethod
    def subject_name(cls) -> str:
        """What reports call it."""
        return f"{cls.kind} {cls.component}"

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
        try:
            model.model_validate(dict(self.options))
            if not any(field.is_required() for field in model.model_fields.values()):
                defaults = model()
                # pydantic takes defaults as they are, without a look at them.
                model.model_validate({name: getattr(defaults, name) for name in model.model_fields})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            refuse(f"option {place} of {model.__name__} is refused with {first['input']!r}: {first['msg']}")

    def test_schema_generates(self, plugtron_host: Host) -> None:
        """A JSON Schema can be made of the options and parameters: `plugtron schema` has them all."""
        offer = plugtron_host.find(self.kind, self.component)
        for model in (offer.options_model(), offer.params_model()):
            if model is not None:
                try:
                    json.dumps(model.model_json_schema())
                except (PydanticUserError, TypeError) as error:
                    refuse(f"no JSON Schema can be made of {model.__name__}: {str(error).splitlines()[0]}")

    def test_has_a_summary(self, plugtron_host: Host) -> None:
        """Lists show a line on what it is."""
        summary = plugtron_host.find(self.kind, self.component).component.summary
        if not summary or "\n" in summary:
            refuse(f"summary is {summary!r}: one line is shown by 'plugtron components'")

    def test_survives_spawn(self, plugtron_host: Host) -> None:
        """Other ranks find it, too: a process that starts from nothing imports it by its names."""
        component = plugtron_host.find(self.kind, self.component).component
        named = [component.target, component.options, component.params, component.precheck]
        for found in probe([name for name in named if isinstance(name, str)]):
            if found.error is not None:
                refuse(f"{found.target} cannot be imported in a process of its own: {found.error}")
            if found.stdout:
                refuse(f"importing {found.target} prints {found.stdout.splitlines()[0]!r} among results")
