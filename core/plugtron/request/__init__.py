"""What is asked and what comes back: requests, sampling parameters, prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.request.chat_options import ChatOptions
    from plugtron.request.request import (
        FinishReason,
        InferenceRequest,
        InferenceSequence,
        LogProbs,
        Message,
        PriorityKey,
        Prompt,
        RequestOutput,
        Timings,
    )
    from plugtron.request.sampling_params import Bias, ParamsLike, SamplingParams

__all__ = [
    "Bias",
    "ChatOptions",
    "FinishReason",
    "InferenceRequest",
    "InferenceSequence",
    "LogProbs",
    "Message",
    "ParamsLike",
    "PriorityKey",
    "Prompt",
    "RequestOutput",
    "SamplingParams",
    "Timings",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Bias": "plugtron.request.sampling_params",
    "ChatOptions": "plugtron.request.chat_options",
    "FinishReason": "plugtron.request.request",
    "InferenceRequest": "plugtron.request.request",
    "InferenceSequence": "plugtron.request.request",
    "LogProbs": "plugtron.request.request",
    "Message": "plugtron.request.request",
    "ParamsLike": "plugtron.request.sampling_params",
    "PriorityKey": "plugtron.request.request",
    "Prompt": "plugtron.request.request",
    "RequestOutput": "plugtron.request.request",
    "SamplingParams": "plugtron.request.sampling_params",
    "Timings": "plugtron.request.request",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
