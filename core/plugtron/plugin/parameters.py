"""Parameters that plugins declare, put onto a request by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from plugtron.errors import PluginError, RequestError, suggestion
from plugtron.plugin.component import Kind
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.registry import RegisteredComponent, Registry
from plugtron.request.sampling_params import SamplingParams
from plugtron.utils import validation

__all__ = ["add_attributes", "declared_parameters", "shared_parameters"]


def add_attributes(
    params: SamplingParams, attributes: Mapping[str, Any], registry: Registry, failed: Sequence[Plugin]
) -> SamplingParams:
    """Return the parameters with these set as well.

    Args:
        failed: plugins that could not be loaded, and might have declared a name.

    Raises:
        RequestError: nobody declares a name, or a value is wrong.
    """
    declared = declared_parameters(registry)
    for name, value in attributes.items():
        if name in SamplingParams.accepted_names():
            continue
        if name not in declared:
            known = sorted({*declared, *SamplingParams.accepted_names()})
            complaints = "; ".join(plugin.complaint() for plugin in failed)
            may = f" May be provided by: {complaints}" if failed else ""
            raise RequestError(
                f"{name}: no installed sampler declares it (declared: {', '.join(sorted(declared))})."
                f"{suggestion(name, known)}{may}"
            )
        model = declared[name].params_model()
        assert model is not None, "it declares the name"
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            raise RequestError(found=validation.describe(error, model, attributes)) from None
    named = {SamplingParams.field_of(name): value for name, value in attributes.items()}
    return SamplingParams.from_flat({**params.to_flat(), **named})


def declared_parameters(registry: Registry) -> dict[str, RegisteredComponent]:
    """Who declares which parameter of a request; a plugin whose module cannot be imported declares none."""
    found: dict[str, RegisteredComponent] = {}
    for offer in (*registry.offers(Kind.CONTROLLER), *registry.offers(Kind.SAMPLER)):
        try:
            model = offer.params_model()
        except PluginError:
            continue  # reported when a spec uses it
        for name in model.model_fields if model else ():
            found.setdefault(name, offer)
    return found


def shared_parameters(
    offers: Iterable[RegisteredComponent],
) -> Iterator[tuple[RegisteredComponent, RegisteredComponent, str]]:
    """Parts that use one parameter of a request, each of them for itself: both, and its name.

    Raises:
        PluginError: the parameters of one cannot be imported.
    """
    found: dict[str, RegisteredComponent] = {}
    for offer in offers:
        model = offer.params_model()
        for name in model.model_fields if model else ():
            first = found.setdefault(name, offer)
            if (first.kind, first.qualified) != (offer.kind, offer.qualified):
                yield first, offer, name
