"""What is on offer: components by kind and name, each with the distribution that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from plugtron.errors import PluginError, PlugtronError, suggestion
from plugtron.plugin.component import Component, Kind, params_model
from plugtron.plugin.known_packages import provided_by
from plugtron.utils.lazy import load_target

if TYPE_CHECKING:
    from plugtron.plugin.options import Options, Params

Loaded = TypeVar("Loaded")

__all__ = ["OWN_DISTRIBUTION", "WITH_PARAMS", "RegisteredComponent", "Registry", "UnknownName", "own"]

#: Whose components bare names mean, and `--no-plugins` keeps.
OWN_DISTRIBUTION = "plugtron"

#: Kinds whose parts read fields of a request.
WITH_PARAMS = (Kind.CONTROLLER, Kind.SAMPLER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredComponent:
    """A component, and who offers it."""

    kind: Kind
    component: Component
    plugin: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The component's name, without its distribution."""
        return self.component.name

    @property
    def qualified(self) -> str:
        """The name that stays clear when two distributions offer it: "name@distribution"."""
        return f"{self.component.name}@{self.distribution}"

    def load(self) -> type:
        """Import the component's class.

        Raises:
            PluginError: the import fails; the text has the cause and the component's install hint.
        """
        return self._guarded(lambda: load_target(self.component.target), self.component.target)

    def options_model(self) -> type[Options]:
        """The model of the component's options.

        Raises:
            PluginError: it cannot be imported.
        """
        return self._guarded(self.component.options_model, "its options")

    def params_model(self) -> type[Params] | None:
        """The model of the component's per-request parameters; None when it takes none.

        A component may leave it to its class to declare them, which is then imported to be asked.

        Raises:
            PluginError: it cannot be imported, or a parameter has no default.
        """
        if self.component.params is None and self.kind in WITH_PARAMS:
            return self._guarded(lambda: params_model(getattr(self.load(), "params", None)), "its parameters")
        return self._guarded(lambda: params_model(self.component.params), "its parameters")

    def precheck(self, model: object, options: Options) -> list[str]:
        """What the component says of a model, a ModelDescription, before anything is loaded.

        Raises:
            PluginError: its function cannot be imported, or fails.
            PlugtronError: what it raises on purpose.
        """
        target = self.component.precheck
        return (
            [] if target is None else self._guarded(lambda: list(load_target(target)(model, options)), "its precheck")
        )

    @property
    def title(self) -> str:
        """The component as messages name it."""
        return f"{self.kind} {self.name!r} ({self.distribution} {self.version})"

    def _guarded(self, load: Callable[[], Loaded], what: str) -> Loaded:
        """Run a plugin's module; whatever it raises becomes one error that says whose it is."""
        try:
            return load()
        except PlugtronError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            hint = f"; {self.component.install_hint}" if self.component.install_hint else ""
            raise PluginError(f"{self.title}: cannot import {what}: {type(error).__name__}: {error}{hint}") from error


class UnknownName(LookupError):
    """No plugin that works offers the name; `close` says that a known name resembles it."""

    def __init__(self, message: str, *, close: bool) -> None:
        super().__init__(message)
        self.close = close


def own(offers: Sequence[RegisteredComponent]) -> list[RegisteredComponent]:
    """Those of several that are plugtron's own."""
    return [offer for offer in offers if offer.distribution == OWN_DISTRIBUTION]


class Registry:
    """All offers, read-only. Two distributions may offer one name; that is an error only for who uses the name."""

    def __init__(self, offers: Iterable[RegisteredComponent]) -> None:
        self._offers = tuple(sorted(offers, key=lambda offer: (offer.kind, offer.name, offer.distribution)))

    def offers(self, kind: Kind | None = None) -> tuple[RegisteredComponent, ...]:
        """All offers, or those of one kind, sorted by kind, name and distribution."""
        return tuple(offer for offer in self._offers if kind in (None, offer.kind))

    def find(self, kind: Kind, name: str) -> RegisteredComponent:
        """Return the offer of `name`, which may be "name", "name@distribution", or an alias.

        A name that plugtron itself offers is plugtron's, whoever else offers it: what is installed beside it never
        changes a run that does not name it.

        Raises:
            UnknownName: nobody offers it.
            PluginError: several distributions offer it, and `name` does not say which.
        """
        offers = self.offers(kind)
        matches = [offer for offer in offers if name in (offer.name, offer.qualified)]
        matches = matches or [offer for offer in offers if name in offer.component.aliases]
        matches = own(matches) or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = " or ".join(repr(offer.qualified) for offer in matches)
            raise PluginError(f"{kind} {name!r} is offered by {len(matches)} distributions: write {choices}")
        names = sorted({offer.name for offer in offers})
        hint = suggestion(name, [*names, *(alias for offer in offers for alias in offer.component.aliases)])
        listed = ", ".join(names) or "none"
        package = provided_by(kind, name)
        raise UnknownName(f"no {kind} {name!r} (installed: {listed}){package or f'.{hint}'}", close=bool(hint))
