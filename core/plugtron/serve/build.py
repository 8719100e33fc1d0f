"""Making the endpoints that a spec names."""

from __future__ import annotations

from plugtron.contracts.routes import Routes, Service
from plugtron.errors import PluginError, PlugtronError
from plugtron.plugin.component import Kind
from plugtron.plugin.registry import OWN_DISTRIBUTION
from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec

__all__ = ["build_routes"]


def build_routes(service: Service, resolved: ResolvedSpec) -> list[Routes]:
    """Make the components of kind `routes`, in the spec's order.

    Raises:
        PluginError: one cannot be imported or made.
    """
    return [_built(service, chosen) for chosen in resolved.chosen(Kind.ROUTES)]


def _built(service: Service, chosen: ResolvedComponent) -> Routes:
    offer = chosen.offer
    target = offer.load()
    try:
        made = getattr(target, "assemble", target)(service, chosen.options)
    except PlugtronError:
        raise
    except Exception as error:
        if offer.distribution == OWN_DISTRIBUTION:
            raise
        raise PluginError(f"{offer.title} cannot be built: {type(error).__name__}: {error}") from error
    if not isinstance(made, Routes):
        raise PluginError(
            f"{offer.title}: {offer.component.target} makes a {type(made).__name__}, which is no "
            "plugtron.contracts.Routes"
        )
    return made
