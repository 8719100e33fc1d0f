"""Finding and loading plugins, each on its own: one that is broken becomes a record, the others go on.

pluggy's own entry-point loop is not used: it drops a second plugin of the same name without a word and dies of
the first that fails to import.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING

import pluggy

from plugtron.errors import suggestion
from plugtron.plugin import hookspecs
from plugtron.plugin.api_version import API_VERSION
from plugtron.plugin.component import Component, Kind
from plugtron.plugin.registry import RegisteredComponent
from plugtron.utils.lazy import load_target

if TYPE_CHECKING:
    from plugtron.plugin.options import Options

__all__ = ["Candidate", "Failure", "Plugin", "find", "load_plugin", "strip_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a plugin is not in use: at which stage, the error in a line, and the whole traceback."""

    stage: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin that was found: `state` is "active", "failed" or "disabled".

    `options`: what its observers may be given in a spec, as its module's PLUGTRON_OPTIONS says.
    """

    name: str
    distribution: str
    version: str
    state: str
    file: str | None = None
    hooks: tuple[str, ...] = ()
    offers: tuple[RegisteredComponent, ...] = ()
    options: type[Options] | None = None
    failure: Failure | None = None

    @property
    def title(self) -> str:
        """The name with its distribution and version, as messages show it."""
        return f"{self.name!r} ({self.distribution} {self.version})"

    def complaint(self) -> str:
        """One line on a failed plugin: what failed, and how to see or skip it."""
        assert self.failure is not None
        return (
            f"plugin {self.title} failed at {self.failure.stage}: {self.failure.error}; see it in full with "
            f"'plugtron plugins show {self.name}', or skip it with --no-plugin {self.name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plugin before it is loaded. `load` imports it, and may raise anything."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]

    @classmethod
    def from_entry_point(cls, entry: EntryPoint) -> Candidate:
        """Describe an installed plugin without importing it."""
        assert entry.dist is not None
        return cls(name=entry.name, distribution=entry.dist.name, version=entry.dist.version, load=entry.load)


def find() -> list[Candidate]:
    """All installed plugins, sorted, so that every process of a job sees one order."""
    candidates = map(Candidate.from_entry_point, entry_points(group=hookspecs.PROJECT))
    return sorted(candidates, key=lambda candidate: (candidate.distribution, candidate.name))


def load_plugin(manager: pluggy.PluginManager, candidate: Candidate, *, strict: bool) -> Plugin:
    """Import and register one plugin and collect what it offers; on any error take it out again.

    With `strict` the error is raised instead of recorded.
    """
    record = Plugin(name=candidate.name, distribution=candidate.distribution, version=candidate.version, state="active")
    identity = f"{candidate.distribution}:{candidate.name}"
    stage = "import"
    try:
        plugin = candidate.load()
        record = replace(record, file=_file(plugin))
        stage = "registration"
        _check_api(plugin)
        manager.register(plugin, name=identity)
        _check_hooks(manager, plugin)
        stage = "its hooks"
        offers = tuple(_collect(manager, plugin, record))
        implemented = tuple(sorted(caller.name for caller in manager.get_hookcallers(plugin) or ()))
        return replace(record, hooks=implemented, offers=offers, options=_options(plugin))
    except KeyboardInterrupt:
        raise
    # A plugin may raise anything while it is imported, sys.exit() included, and must not take the rest along.
    except BaseException as error:
        if strict:
            raise
        if manager.has_plugin(identity):
            manager.unregister(name=identity)
        failure = Failure(
            stage=stage, error=f"{type(error).__name__}: {error}", traceback=strip_frames(error, __file__)
        )
        return replace(record, state="failed", failure=failure)


def strip_frames(error: BaseException, *own_files: str) -> str:
    """Format a traceback without the frames of `own_files` at its top, which say nothing of the plugin's defect."""
    formatted = traceback.TracebackException.from_exception(error)
    formatted.stack = traceback.StackSummary.from_list(
        [frame for frame in formatted.stack if frame.filename not in own_files]
    )
    return "".join(formatted.format())


def _file(plugin: object) -> str | None:
    # A namespace package, or a module made in memory, is in no file.
    return getattr(plugin, "__file__", None) if isinstance(plugin, ModuleType) else None


def _options(plugin: object) -> type[Options] | None:
    named = getattr(plugin, "PLUGTRON_OPTIONS", None)
    model = load_target(named) if isinstance(named, str) else named
    if model is not None and not hasattr(model, "model_validate"):
        raise TypeError(f"PLUGTRON_OPTIONS is {model!r}, which is no subclass of plugtron.Options")
    return model


def _check_api(plugin: object) -> None:
    wanted = getattr(plugin, "PLUGTRON_API", API_VERSION)
    if wanted > API_VERSION:
        raise RuntimeError(f"asks for plugin API {wanted}; this plugtron offers {API_VERSION}: upgrade plugtron")


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    known = [name for name in vars(hookspecs) if name.startswith(f"{hookspecs.PROJECT}_")]
    implemented = manager.get_hookcallers(plugin) or []
    if not implemented:
        raise RuntimeError("implements no hook: mark its functions with @plugtron.hookimpl")
    for caller in implemented:
        if caller.name not in known:
            hint = suggestion(caller.name, known)
            raise RuntimeError(f"unknown hook {caller.name!r} (known: {', '.join(known)}).{hint}")


def _collect(manager: pluggy.PluginManager, plugin: object, record: Plugin) -> Iterable[RegisteredComponent]:
    """Call the plugin's registration hooks one by one: a pluggy call over all plugins would fail as a whole."""
    for kind, hook in hookspecs.REGISTRATION_HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            offered = implementation.function()
            if isinstance(offered, Component) or not isinstance(offered, Iterable):
                kind_of = f"one {type(offered).__name__}" if isinstance(offered, Component) else repr(offered)
                raise TypeError(f"{hook} returned {kind_of}: return a list of plugtron.Component, [] for nothing")
            for component in offered:
                yield _offer(kind, hook, component, record)


def _offer(kind: Kind, hook: str, component: object, record: Plugin) -> RegisteredComponent:
    if not isinstance(component, Component):
        raise TypeError(f"{hook} returned {component!r}, which is no plugtron.Component")
    return RegisteredComponent(
        kind=kind,
        component=component,
        plugin=record.name,
        distribution=record.distribution,
        version=record.version,
    )
