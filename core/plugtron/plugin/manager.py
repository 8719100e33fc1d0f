"""The plugins of this process, and one typed method per hook so that nothing else touches pluggy."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import pluggy

from plugtron.errors import Problem
from plugtron.plugin import hookspecs
from plugtron.plugin.candidate import Candidate, find
from plugtron.plugin.discovery import Plugin, load_plugin
from plugtron.plugin.registry import OWN_DISTRIBUTION, Registry
from plugtron.plugin.slow_imports import Watch, said_when_slow

if TYPE_CHECKING:
    from plugtron.plugin.checked_spec import CheckedSpec
    from plugtron.plugin.options import Options
    from plugtron.plugin.run_info import Outcome, RunInfo
    from plugtron.request.request import InferenceRequest
    from plugtron.request.sampling_params import SamplingParams

__all__ = ["GIVEN", "PluginManager", "PluginOptions"]

#: What a spec gives the observers of each plugin, by the plugin's name.
PluginOptions: TypeAlias = "Mapping[str, Options]"
#: The distribution, in messages and qualified names, of plugins that are objects of this process.
GIVEN = "given"


class PluginManager:
    """Discovers plugins, once, when it is made.

    Args:
        plugins: plugin objects to use besides the installed ones (tests and notebooks).
        files: files of Python, each a plugin that is not installed.
        disable: names of plugins or distributions that are not to be imported.
        builtins_only: import nothing but plugtron's own parts.
        strict: raise what a broken plugin raises; by default as the variable PLUGTRON_STRICT says.
    """

    def __init__(
        self,
        *,
        plugins: Sequence[object] = (),
        files: Sequence[Path | str] = (),
        disable: Collection[str] = (),
        builtins_only: bool = False,
        strict: bool | None = None,
    ) -> None:
        self.disable = tuple(disable)
        self.builtins_only = builtins_only
        self.files = tuple(Path(file).resolve() for file in files)
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._strict = os.environ.get("PLUGTRON_STRICT", "") not in ("", "0") if strict is None else strict
        given = [
            Candidate(name=f"given_{index}", distribution=GIVEN, version="0", load=lambda plugin=plugin: plugin)
            for index, plugin in enumerate(plugins)
        ]
        installed = find()
        self._own_version = next((each.version for each in installed if each.distribution == OWN_DISTRIBUTION), None)
        asked_for = [*map(Candidate.from_file, self.files), *given]
        with said_when_slow() as watch:
            self.plugins: tuple[Plugin, ...] = (
                *(self._admit(candidate, watch, is_installed=True) for candidate in installed),
                *(self._admit(candidate, watch, is_installed=False) for candidate in asked_for),
            )
        self.registry = Registry(offer for plugin in self.plugins for offer in plugin.offers)

    def failed(self) -> tuple[Plugin, ...]:
        """The plugins that could not be loaded."""
        return tuple(plugin for plugin in self.plugins if plugin.state == "failed")

    def warn_of_failures(self) -> None:
        """Warn of the plugins that could not be loaded; the command line says so in its own way."""
        for plugin in self.failed():
            warnings.warn(plugin.complaint(), RuntimeWarning, stacklevel=3)

    def add_attributes(self, params: SamplingParams, attributes: Mapping[str, object]) -> SamplingParams:
        """Return parameters with others set as well, which an installed sampler or controller declares.

        Raises:
            RequestError: nobody declares a name, or a value is wrong.
        """
        # Imported here: listing plugins does without pydantic.
        from plugtron.plugin.parameters import add_attributes

        return add_attributes(params, attributes, self.registry, self.failed())

    def check_spec(self, spec: CheckedSpec) -> list[Problem]:
        """Collect every plugin's complaints about a spec."""
        return [
            problem
            for found in self._each("plugtron_check_spec", lambda function: function(spec=spec))
            for problem in found or ()
        ]

    def run_started(self, run: RunInfo, options: PluginOptions) -> None:
        """Tell observers that generation begins."""
        self._each("plugtron_run_started", lambda function: function(run=run), options)

    def request_finished(self, request: InferenceRequest, options: PluginOptions) -> None:
        """Tell observers that a request has finished. Each gets a copy: what it does to it is its own affair."""
        self._each("plugtron_request_finished", lambda function: function(request=request.snapshot()), options)

    @property
    def watches_steps(self) -> bool:
        """Whether any plugin wants to hear of steps."""
        return bool(self._manager.hook.plugtron_step_finished.get_hookimpls())

    def step_finished(self, stats: Mapping[str, float], options: PluginOptions) -> None:
        """Tell observers that a step is done."""
        self._each("plugtron_step_finished", lambda function: function(stats=dict(stats)), options)

    def run_finished(self, run: RunInfo, outcome: Outcome, options: PluginOptions) -> None:
        """Tell observers that the run is over."""
        self._each("plugtron_run_finished", lambda function: function(run=run, outcome=outcome), options)

    def _admit(self, candidate: Candidate, watch: Watch, *, is_installed: bool) -> Plugin:
        foreign = is_installed and candidate.distribution != OWN_DISTRIBUTION
        if (self.builtins_only and foreign) or {candidate.name, candidate.distribution} & set(self.disable):
            return Plugin(
                name=candidate.name,
                distribution=candidate.distribution,
                version=candidate.version,
                state="disabled",
            )
        watch.begins(candidate)
        with redirect_stdout(sys.stderr):
            return load_plugin(self._manager, candidate, own_version=self._own_version, strict=self._strict)

    def _each(
        self, hook: str, call: Callable[[Callable[..., object]], object], options: PluginOptions = MappingProxyType({})
    ) -> list[Iterable[Problem]]:
        """Call the implementations of `hook` one by one, sorted by plugin; one that raises costs a warning."""
        implementations = sorted(getattr(self._manager.hook, hook).get_hookimpls(), key=lambda impl: impl.plugin_name)
        results = []
        for implementation in implementations:
            named = set(implementation.argnames)
            try:
                # Standard output is for results.
                with redirect_stdout(sys.stderr):
                    own = options.get(implementation.plugin_name.partition(":")[2])
                    results.append(call(_only(implementation.function, named, own)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit() in a hook fails that plugin only
                if self._strict:
                    raise
                warnings.warn(
                    f"plugin {implementation.plugin_name}: {hook} failed: {type(error).__name__}: {error}",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return results


def _only(function: Callable[..., object], named: set[str], options: object) -> Callable[..., object]:
    """As pluggy does, pass an implementation only the arguments it names; `options` are its plugin's own."""

    def call(**arguments: object) -> object:
        given = {**arguments, "options": options}
        return function(**{name: value for name, value in given.items() if name in named})

    return call
