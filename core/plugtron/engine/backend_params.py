"""The fields of a request that every engine with a model of its own consumes."""

from __future__ import annotations

from plugtron.plugin.options import Params

__all__ = ["BackendParams"]


class BackendParams(Params):
    """When a request ends, how its draws are seeded, how often it is answered, and what its text is.

    An engine adds what its model does: `temperature` and the like, under the names of SamplingParams. What is in no
    field is refused, by `plugtron check` and when a request comes in.
    """

    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    max_tokens: int | None = None
    seed: int | None = None
    n: int | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
