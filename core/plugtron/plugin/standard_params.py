"""Parameters that a part consumes under the names of SamplingParams, where each of them is declared once."""

from __future__ import annotations

from copy import copy

from pydantic import create_model

from plugtron.plugin.options import Params
from plugtron.request.sampling_params import SamplingParams

__all__ = ["standard_params"]


def standard_params(*names: str) -> type[Params]:
    """Return a base for `params` that has these fields of SamplingParams, with their types and ranges.

    Raises:
        KeyError: SamplingParams has no such field.
    """
    fields = {name: SamplingParams.model_fields[name] for name in names}
    typed = {name: (field.annotation, copy(field)) for name, field in fields.items()}
    return create_model("StandardParams", __base__=Params, __module__=__name__, **typed)  # pyright: ignore[reportCallIssue, reportArgumentType] - its overloads know no computed fields
