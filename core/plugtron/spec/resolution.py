"""From a spec as written to a spec that can run: every name found, every option valid, every `auto` settled.

Two phases: the spec's own model, then each chosen component's options against that component's model. Both always
run, so that all mistakes of a file are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.errors import (
    CheckpointError,
    PluginError,
    PlugtronError,
    Problem,
    SpecError,
    TokenizerError,
    suggestion,
)
from plugtron.hub.location import locate
from plugtron.plugin.component import Kind
from plugtron.plugin.known_packages import provided_by
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.options import Options, is_path
from plugtron.plugin.parameters import declared_parameters
from plugtron.plugin.registry import RegisteredComponent, UnknownName, own
from plugtron.request.chat_options import AUTO_PARSER, NO_PARSER
from plugtron.request.sampling_params import DEFAULTS
from plugtron.spec.checkpoint_defaults import checkpoint_defaults
from plugtron.spec.conflicts import conflicts
from plugtron.spec.load import Place, Source
from plugtron.spec.model import DEFAULT_CHAIN, Spec
from plugtron.spec.needs import all_needs, is_needed, unused
from plugtron.spec.parameters import check_parameters, check_shared
from plugtron.spec.paths import place_option, place_paths
from plugtron.spec.requirements import check_requirements
from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec
from plugtron.spec.section import ComponentRef
from plugtron.spec.serve import DEFAULT_ROUTES
from plugtron.spec.sites import AUTO, LATE, SITES
from plugtron.spec.written_out import written_out
from plugtron.utils import validation

__all__ = ["Resolution", "parse", "resolve", "spec_of"]


def parse(source: Source) -> Spec:
    """Read the spec's own fields.

    Raises:
        SpecError: with all problems, in file order.
    """
    spec, problems = _outer(source)
    if spec is None:
        raise SpecError(sorted(problems, key=source.position))
    return spec


def spec_of(values: Mapping[str, Any]) -> Spec:
    """Read a spec from plain data, as from a file: every mistake at once.

    Raises:
        SpecError: with one problem per mistake.
    """
    return parse(Source(values=dict(values)))


def resolve(source: Source, manager: PluginManager) -> ResolvedSpec:
    """Check a spec against the plugins of `manager`. Imports no torch and downloads nothing.

    Raises:
        SpecError: with all problems, in file order.
        PluginError: nothing is wrong but a plugin that the spec needs.
    """
    return Resolution(source, manager).resolved()


class Resolution:
    """A spec looked at from all sides; what is wrong with it is raised when the result is asked for."""

    def __init__(self, source: Source, manager: PluginManager) -> None:
        self._source = source
        self._manager = manager
        self._spec, problems = _outer(source)
        self._resolver = _Resolver(source, manager, problems)
        self._resolver.run()

    @property
    def model(self) -> ModelDescription | None:
        """What the checkpoint's headers say, where it is at hand and one reader knows it."""
        return self._resolver.model

    @property
    def components(self) -> tuple[ResolvedComponent, ...]:
        """The components that were found and whose options are valid."""
        return tuple(self._resolver.components)

    def prechecks(self) -> list[Problem]:
        """What the chosen components say of the model without building anything."""
        model, problems = self.model, list[Problem]()
        if model is None:
            return problems
        for chosen in self._resolver.components:
            try:
                found = chosen.offer.precheck(model, chosen.options)
            except PlugtronError as error:
                found = [str(error)]
            problems += [self._source.problem(chosen.place, text) for text in found]
        return problems

    def resolved(self) -> ResolvedSpec:
        """The spec, ready to run.

        Raises:
            SpecError, PluginError: as `resolve`.
        """
        spec, resolver, source = self._spec, self._resolver, self._source
        if spec is None or resolver.problems:
            raise SpecError(sorted(resolver.problems, key=source.position))
        if resolver.plugin_problems:
            raise PluginError("\n".join(map(str, sorted(resolver.plugin_problems, key=source.position))))
        resolved = ResolvedSpec(
            spec=written_out(spec, resolver.components, _defaults(spec, resolver)),
            components=tuple(resolver.components),
            model=resolver.model,
            reader=resolver.reader,
            plugin_options=resolver.plugin_options,
        )
        if complaints := self._manager.check_spec(resolved):
            raise SpecError(complaints)
        return resolved


def _outer(source: Source) -> tuple[Spec | None, list[Problem]]:
    problems = [] if source.placed else place_paths(source)
    try:
        spec = Spec.model_validate(source.values)
    except ValidationError as error:
        found = validation.describe(error, Spec, source.values)
        return None, [*problems, *(source.problem(place, text) for place, text in found)]
    return (None if problems else spec), problems


class _Resolver:
    """The second phase. It works on the raw data, so that a mistake elsewhere does not hide one here."""

    def __init__(self, source: Source, manager: PluginManager, problems: list[Problem]) -> None:
        self.source = source
        self.manager = manager
        self.problems = problems
        self.plugin_problems: list[Problem] = []
        self.components: list[ResolvedComponent] = []
        self.model: ModelDescription | None = None
        self.reader: RegisteredComponent | None = None
        self.plugin_options: dict[str, Options] = {}
        # What is wrong with parts that were left to plugtron, should the run need them.
        self.automatic: list[tuple[Kind, Problem, list[Problem]]] = []
        # The parameters of a request that the chosen parts use.
        self.consumed: frozenset[str] = frozenset()

    def run(self) -> None:
        self._describe_model()
        for kind, place, default in SITES:
            raw = _at(self.source.values, place, default)
            if raw is None and kind is Kind.QUANTIZATION and self.model is not None:
                raw = self.model.quantization
            self._component(kind, place, raw)
        for place, raw in self._listed(("samplers",), DEFAULT_CHAIN):
            self._component(Kind.SAMPLER, place, raw)
        if self.source.values.get("serve") is not None:
            for place, raw in self._listed(("serve", "routes"), DEFAULT_ROUTES):
                self._component(Kind.ROUTES, place, raw)
        self._parsers()
        self._leave_out()
        self._plugin_options()
        models = [model for chosen in self.components if (model := self._params_model(chosen)) is not None]
        if not self.plugin_problems:
            self.problems += check_shared(self.source, self.components)
        self.consumed = frozenset(name for model in models for name in model.model_fields)
        complete = not self.problems and not self.plugin_problems
        self.problems += check_parameters(self.source, models, complete=complete, supplier=self._supplier)
        self.plugin_problems += check_requirements(self.source, self.manager)

    def _plugin_options(self) -> None:
        """Check what the spec gives observers; a plugin without a word about it gets its defaults."""
        written = _at(self.source.values, ("plugins", "options"), {})
        written = written if isinstance(written, Mapping) else {}
        models = {plugin.name: plugin.options for plugin in self.manager.plugins if plugin.options is not None}
        for name in written:
            if name not in models:
                known = ", ".join(sorted(models)) or "none"
                hint = suggestion(str(name), list(models))
                text = f"no plugin of this name takes options (those that do: {known}).{hint}"
                self.problems.append(self.source.problem(("plugins", "options", name), text))
        for name, model in models.items():
            place = ("plugins", "options", name)
            try:
                given = written.get(name) or {}
                placed = self._with_paths(model, given, place) if isinstance(given, dict) else given
                self.plugin_options[name] = model.model_validate(placed)
            except ValidationError as error:
                self._report(model, error, written.get(name), place)

    def _leave_out(self) -> None:
        """Keep the parts that the run needs, and what is wrong with those; others must not be named."""
        needs = all_needs(self.components)
        for kind, problem, problems in self.automatic:
            if is_needed(kind, needs):
                problems.append(problem)
        self.problems += unused(self.source, needs)
        self.problems += conflicts(self.source, self.components)
        self.components = [chosen for chosen in self.components if is_needed(chosen.offer.kind, needs)]

    def _supplier(self, name: str) -> str:
        """Which part that was not chosen would consume a parameter, and how to choose it."""
        offer = declared_parameters(self.manager.registry).get(name)
        return "" if offer is None else f" {offer.title} would: add it to {offer.kind}s"

    def _params_model(self, chosen: ResolvedComponent) -> type[BaseModel] | None:
        try:
            return chosen.offer.params_model()
        except PluginError as error:
            self.plugin_problems.append(self.source.problem(chosen.place, str(error)))
            return None

    def _listed(self, owner: Place, default: Sequence[str]) -> Iterator[tuple[Place, Any]]:
        """The components of a list, with what `default` in it stands for."""
        refs = _at(self.source.values, owner, ["default"])
        for index, raw in enumerate(refs if isinstance(refs, list) else []):
            place = (*owner, index)
            if raw in ("default", {"name": "default"}, {"name": "default", "options": {}}):
                yield from ((place, name) for name in default)
            else:
                yield place, raw

    def _parsers(self) -> None:
        """Look up the parsers that the spec and its own prompts name."""
        prompts = self.source.values.get("prompts")
        places: list[Place] = [("parser",)]
        places += [("prompts", index, "parser") for index in range(len(prompts) if isinstance(prompts, list) else 0)]
        for place in places:
            name = _at(self.source.values, place, None)
            if isinstance(name, str) and name not in (AUTO_PARSER, NO_PARSER):
                offer = self._named(Kind.PARSER, place, name)
                if offer is not None:
                    self.components.append(ResolvedComponent(place=place, offer=offer, options=Options()))

    def _component(self, kind: Kind, place: Place, raw: Any) -> None:
        if raw is None:
            return
        try:
            ref = ComponentRef.model_validate(raw)
        except ValidationError:
            return  # the first phase has reported it
        if ref.name == AUTO and kind in LATE:
            if ref.options:
                self.problems.append(self.source.problem(place, f"auto takes no options: name the {kind}"))
            return
        automatic = ref.name == AUTO and kind in (Kind.WRAPPER, Kind.TOKENIZER)
        offer = self._automatic(kind, place) if automatic else self._named(kind, place, ref.name)
        if offer is None:
            return
        try:
            model = offer.options_model()
        except PluginError as error:
            self.plugin_problems.append(self.source.problem(place, str(error)))
            return
        try:
            options = model.model_validate(self._with_paths(model, ref.options, (*place, "options")))
        except ValidationError as error:
            self._report(model, error, ref.options, (*place, "options"))
            return
        self.components.append(ResolvedComponent(place=place, offer=offer, options=options))

    def _with_paths(self, model: type[BaseModel], written: dict[str, Any], place: Place) -> dict[str, Any]:
        """Options with their paths complete."""
        completed = dict(written)
        for name, field in model.model_fields.items():
            if isinstance(written.get(name), str) and is_path(field):
                try:
                    completed[name] = place_option(self.source, (*place, name), written[name])
                except ValueError as error:
                    self.problems.append(self.source.problem((*place, name), str(error)))
        return completed

    def _named(self, kind: Kind, place: Place, name: str) -> RegisteredComponent | None:
        try:
            return self.manager.registry.find(kind, name)
        except UnknownName as unknown:
            failed = self.manager.failed()
            if failed and not unknown.close:
                may = "; ".join(plugin.complaint() for plugin in failed)
                self.plugin_problems.append(self.source.problem(place, f"{unknown} May be provided by: {may}"))
            else:
                self.problems.append(self.source.problem(place, str(unknown)))
        except PluginError as ambiguous:
            self.plugin_problems.append(self.source.problem(place, str(ambiguous)))
        return None

    def _automatic(self, kind: Kind, place: Place) -> RegisteredComponent | None:
        """Choose the component that provides what the checkpoint asks for, if the checkpoint is at hand."""
        wanted = None
        if self.model is not None:
            wanted = self.model.provision if kind is Kind.WRAPPER else self.model.tokenizer
        if wanted is None:
            return None
        offers = [offer for offer in self.manager.registry.offers(kind) if wanted in offer.component.provides]
        offers = own(offers) or offers
        if len(offers) == 1:
            return offers[0]
        known = sorted({name for offer in self.manager.registry.offers(kind) for name in offer.component.provides})
        text = f"no {kind} runs {wanted} (known: {', '.join(known)}){provided_by(kind, wanted)}"
        if offers:
            text = f"{wanted} is offered by several: write one of {', '.join(offer.qualified for offer in offers)}"
        problem = self.source.problem(place, text)
        self.automatic.append((kind, problem, self.plugin_problems if offers else self.problems))
        return None

    def _describe_model(self) -> None:
        place = ("model", "checkpoint")
        name = _at(self.source.values, place, None)
        if not isinstance(name, str) or place in self.source.unplaced:
            return
        try:
            path = locate(name)
            if path is not None:
                self._read_headers(path, place)
        except (SpecError, CheckpointError, TokenizerError) as error:
            self.problems.append(self.source.problem(place, str(error)))
        except PluginError as error:
            self.plugin_problems.append(self.source.problem(place, str(error)))

    def _read_headers(self, path: Path, place: Place) -> None:
        broken: list[str] = []
        for offer in self.manager.registry.offers(Kind.CHECKPOINT):
            try:
                description = offer.load().describe(path)
            except (SpecError, CheckpointError, TokenizerError):
                raise
            # A reader that is merely installed and broken must not stop what another can read.
            except Exception as error:
                broken.append(f"{offer.title} failed: {error}")
                continue
            if description is None:
                continue
            if self.reader is not None:
                text = f"{path} is read by both {self.reader.qualified} and {offer.qualified}; disable one plugin"
                self.plugin_problems.append(self.source.problem(place, text))
                return
            self.reader, self.model = offer, description
        if self.model is None and broken:
            self.plugin_problems.append(self.source.problem(place, f"{path} is read by nobody; {'; '.join(broken)}"))
        elif self.model is None:
            known = ", ".join(offer.name for offer in self.manager.registry.offers(Kind.CHECKPOINT))
            self.problems.append(self.source.problem(place, f"{path} is no checkpoint that a reader knows ({known})"))

    def _report(self, model: type[BaseModel], error: ValidationError, values: Any, prefix: Place) -> None:
        for location, text in validation.describe(error, model, values):
            self.problems.append(self.source.problem((*prefix, *location), text))


def _at(values: Any, place: Place, default: Any) -> Any:
    for part in place:
        if isinstance(values, list) and isinstance(part, int):
            values = values[part]
            continue
        if not isinstance(values, Mapping) or part not in values:
            return default
        values = values[part]
    return values


def _defaults(spec: Spec, resolver: _Resolver) -> dict[str, Any]:
    """What parameters are where the spec says nothing, as far as some part uses them."""
    if spec.sampling.get("pooling") is not None:
        return {}  # an embedding takes none of them
    defaults: dict[str, Any] = dict(DEFAULTS)
    if spec.sampling_defaults == "checkpoint" and resolver.model is not None:
        defaults |= checkpoint_defaults(resolver.model)
    return {name: value for name, value in defaults.items() if name in resolver.consumed}
