"""What a request asks of the controller and of the stages of the chain, checked by their declarations."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from plugtron import Params
from plugtron.contracts import Sampler
from plugtron.errors import RequestError
from plugtron.plugin import unmet_needs
from plugtron.request import InferenceRequest
from plugtron.utils import describe

__all__ = ["check_fields", "check_stages"]


def check_fields(request: InferenceRequest, params: type[Params]) -> None:
    """Check the fields of a request that a part consumes, by its declaration.

    Raises:
        RequestError: with the parameter and the reason.
    """
    asked = request.params.asked()
    own = {name: asked[name] for name in params.model_fields if name in asked}
    if own:
        try:
            params.model_validate(own)
        except ValidationError as error:
            raise RequestError(found=describe(error, params, asked)) from None
    for name, problem in unmet_needs(params, asked):
        raise RequestError(f"{name}: {problem}")


def check_stages(request: InferenceRequest, samplers: Sequence[Sampler]) -> None:
    """Check the fields of each stage, and have it refuse what it cannot do.

    Raises:
        RequestError: with the parameter and the reason.
    """
    for sampler in samplers:
        check_fields(request, sampler.params)
        sampler.check(request)
