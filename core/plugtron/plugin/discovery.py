"""Loading plugins, each on its own: one that is broken becomes a record, the others go on.

pluggy's own entry-point loop is not used: it drops a second plugin of the same name without a word and dies of
the first that fails to import.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import pluggy

from plugtron.plugin import api_version, hook_check, hookspecs
from plugtron.plugin import candidate as candidate_module
from plugtron.plugin.api_version import check_api, check_requirements
from plugtron.plugin.candidate import Candidate
from plugtron.plugin.component import NEEDS_OF, Component, Kind
from plugtron.plugin.hook_check import check_hooks
from plugtron.plugin.registry import RegisteredComponent
from plugtron.utils.lazy import load_target

if TYPE_CHECKING:
    from plugtron.plugin.options import Options

__all__ = ["Failure", "Plugin", "load_plugin", "strip_frames"]

#: The modules that look at a plugin, whose frames say nothing of what is wrong with it.
_OWN_FILES = (__file__, *(str(module.__file__) for module in (api_version, candidate_module, hook_check)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a plugin is not in use: at which stage, the error in a line, and the whole traceback."""

    stage: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin that was found: `state` is "active", "failed" or "disabled".

    `options`: what its observers may be given in a spec, as its module's PLUGTRON_OPTIONS says. `api`: its module's
    PLUGTRON_API, None where it says nothing.
    """

    name: str
    distribution: str
    version: str
    state: str
    file: str | None = None
    hooks: tuple[str, ...] = ()
    offers: tuple[RegisteredComponent, ...] = ()
    options: type[Options] | None = None
    api: object = None
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
            f"'plugtron plugins show {self.name} -v', or skip it with --no-plugin {self.name}"
        )


def load_plugin(
    manager: pluggy.PluginManager, candidate: Candidate, *, own_version: str | None, strict: bool
) -> Plugin:
    """Import and register one plugin and collect what it offers; on any error take it out again.

    Args:
        own_version: plugtron's, which the plugin's distribution may require to be another; None: not installed.
        strict: raise the error instead of recording it.
    """
    record = Plugin(name=candidate.name, distribution=candidate.distribution, version=candidate.version, state="active")
    identity = f"{candidate.distribution}:{candidate.name}"
    stage = "its requirements"
    try:
        if own_version is not None:
            check_requirements(candidate.requires, candidate.distribution, own_version)
        stage = "import"
        plugin = candidate.load()
        record = replace(record, file=_file(plugin), api=getattr(plugin, "PLUGTRON_API", None))
        stage = "registration"
        if record.api is not None:
            check_api(record.api, candidate.distribution)
        check_hooks(manager, plugin)
        manager.register(plugin, name=identity)
        stage = "its hooks"
        offers = tuple(_collect(manager, plugin, record))
        _check_offers(offers)
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
            stage=stage, error=f"{type(error).__name__}: {error}", traceback=strip_frames(error, *_OWN_FILES)
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


def _check_offers(offers: Iterable[RegisteredComponent]) -> None:
    """See whether each can be named, and can have what it needs."""
    counted = Counter((offer.kind, offer.name) for offer in offers)
    for (kind, name), times in counted.items():
        if times > 1:
            raise ValueError(f"offers {times} {kind}s {name!r}, which no spec could tell apart")
    for offer in offers:
        later = sorted(set(offer.component.needs) - NEEDS_OF[offer.kind])
        if later:
            accepted = ", ".join(sorted(NEEDS_OF[offer.kind])) or "none"
            raise ValueError(
                f"{offer.kind} {offer.name!r} needs {', '.join(later)}, which is not built before a {offer.kind} "
                f"(accepted: {accepted})"
            )


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
