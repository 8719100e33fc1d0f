"""What the stages of the chain have against a request."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from plugtron.contracts import Sampler
from plugtron.errors import RequestError
from plugtron.plugin import unmet_needs
from plugtron.request import InferenceRequest
from plugtron.utils import describe

__all__ = ["check_stages"]


def check_stages(request: InferenceRequest, samplers: Sequence[Sampler]) -> None:
    """Check the fields of each stage, and have it refuse what it cannot do.

    Raises:
        RequestError: with the parameter and the reason.
    """
    asked = request.params.asked()
    for sampler in samplers:
        if any(name in asked for name in sampler.params.model_fields):
            try:
                sampler.asked(request.params)
            except ValidationError as error:
                raise RequestError(found=describe(error, sampler.params, asked)) from None
        for name, problem in unmet_needs(sampler.params, asked):
            raise RequestError(f"{name}: {problem}")
        sampler.check(request)
