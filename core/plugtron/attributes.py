"""Parameters that plugins declare, put onto a request by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from plugtron import messages
from plugtron.component import Kind
from plugtron.errors import PluginError, RequestError, suggestion
from plugtron.host import Host
from plugtron.registry import Offer
from plugtron.sampling_params import SamplingParams

__all__ = ["declared_parameters", "extended"]


def extended(params: SamplingParams, attributes: Mapping[str, Any], host: Host | None = None) -> SamplingParams:
    """Return the parameters with these set as well.

    Args:
        host: the plugins to ask; by default all that are installed.

    Raises:
        RequestError: nobody declares a name (with the plugins that might, could they be loaded), or a value is wrong.
    """
    host = host or Host()
    declared = declared_parameters(host)
    for name, value in attributes.items():
        if name in SamplingParams.accepted_names():
            continue
        if name not in declared:
            known = sorted({*declared, *SamplingParams.accepted_names()})
            failed = "; ".join(plugin.complaint() for plugin in host.failed())
            may = f" May be provided by: {failed}" if failed else ""
            raise RequestError(
                f"{name}: no installed sampler declares it (declared: {', '.join(sorted(declared))})."
                f"{suggestion(name, known)}{may}"
            )
        model = declared[name].params_model()
        assert model is not None, "it declares the name"
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            raise RequestError(found=messages.describe(error, model, attributes)) from None
    named = {SamplingParams.field_of(name): value for name, value in attributes.items()}
    return SamplingParams.from_flat({**params.to_flat(), **named})


def declared_parameters(host: Host) -> dict[str, Offer]:
    """Who declares which parameter of a request; a plugin whose module cannot be imported declares none."""
    found: dict[str, Offer] = {}
    for offer in (*host.registry.offers(Kind.CONTROLLER), *host.registry.offers(Kind.SAMPLER)):
        try:
            model = offer.params_model()
        except PluginError:
            continue  # reported when a spec uses it
        for name in model.model_fields if model else ():
            found.setdefault(name, offer)
    return found
