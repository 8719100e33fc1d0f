"""plugtron's own parts and the plugins under test; nothing else that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from plugtron.errors import PluginError
from plugtron.plugin.component import Kind, Need
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.registry import OWN_DISTRIBUTION, RegisteredComponent

if TYPE_CHECKING:
    from plugtron.assembly.session import Session
    from plugtron.contracts import ModelOptions

__all__ = ["Host"]


class Host:
    """Plugins without discovery: what is installed beside them changes no test.

    Args:
        plugins: what has hooks, modules or other objects, or names of modules; none: plugtron's own parts alone.

    Raises:
        PluginError: one of them does not load.
    """

    def __init__(self, *plugins: object) -> None:
        self._modules = [import_module(plugin) if isinstance(plugin, str) else plugin for plugin in plugins]
        self.manager = PluginManager(plugins=self._modules, builtins_only=True)
        for plugin in self.manager.failed():
            raise PluginError(plugin.complaint())
        foreign = [plugin for plugin in self.manager.plugins if plugin.distribution != OWN_DISTRIBUTION]
        #: What specs call the plugins under test.
        self.plugins = tuple(plugin.name for plugin in foreign if plugin.state == "active")

    def offers(self, kind: Kind) -> list[RegisteredComponent]:
        """What the plugins under test offer of a kind; plugtron's own parts where there are none under test."""
        offers = self.manager.registry.offers(kind)
        return [offer for offer in offers if not self.plugins or offer.plugin in self.plugins]

    def find(self, kind: Kind, name: str) -> RegisteredComponent:
        """The component under test.

        Raises:
            PluginError: it is not offered.
        """
        for offer in self.offers(kind):
            if offer.name == name:
                return offer
        names = ", ".join(offer.name for offer in self.offers(kind)) or "none"
        raise PluginError(f"the plugin offers no {kind} {name!r} (offered: {names})")

    def session(self, values: Mapping[str, Any]) -> Session:
        """Assemble a spec, given as the data that a file would hold without its version. To be closed.

        Raises:
            PlugtronError: as `plugtron.assemble`.
        """
        # Imported here: looking at components does without torch.
        from plugtron.assembly.start import assemble
        from plugtron.spec.load import Source
        from plugtron.spec.resolution import resolve

        return assemble(resolve(Source(values={"version": 1, **values}), self.manager), manager=self.manager)

    def options(self, values: Mapping[str, Any]) -> ModelOptions:
        """Make what a spec says of quantization, execution and attention, on a CPU, and load no weights.

        Raises:
            PlugtronError: as `plugtron.assemble`.
        """
        # Imported here: looking at components does without torch.
        from plugtron.assembly.build import build_parts
        from plugtron.parallel import Runtime
        from plugtron.spec.load import Source
        from plugtron.spec.resolution import resolve

        resolved = resolve(Source(values={"version": 1, **values}), self.manager)
        return build_parts(resolved, Runtime.create(device="cpu"), frozenset({Need.CHECKPOINT})).options

    def reference(self, kind: Kind, name: str) -> str:
        """How a spec names the component under test, whoever else offers the name."""
        offer = self.find(kind, name)
        return offer.name if offer.distribution == OWN_DISTRIBUTION else offer.qualified

    def hooks(self) -> Iterator[tuple[str, Callable[..., object]]]:
        """The hooks that the plugins under test implement: each one's name, and the function."""
        for module in self._modules:
            for name in dir(module):
                function = getattr(module, name)
                if name.startswith("plugtron_") and hasattr(function, "plugtron_impl"):
                    yield name, function
