"""The fields of a request that every engine with a model of its own consumes."""

from __future__ import annotations

from plugtron.plugin.standard_params import standard_params

__all__ = ["BackendParams"]

_FIELDS = (
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "max_tokens",
    "truncate_prompt_tokens",
    "seed",
    "n",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
)


class BackendParams(standard_params(*_FIELDS)):
    """When a request ends, how its draws are seeded, how often it is answered, and what its text is.

    An engine adds what its model does: `temperature` and the like, under the names of SamplingParams, whose
    declarations `plugtron.standard_params` gives. What is in no field is refused, by `plugtron check` and when a
    request comes in.
    """
