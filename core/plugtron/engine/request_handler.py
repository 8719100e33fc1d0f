"""What an engine asks of whoever knows its model: how requests begin, and what has become of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from plugtron.parallel.runtime import Runtime
    from plugtron.request.chat_options import ChatOptions
    from plugtron.request.request import InferenceRequest, InferenceSequence, Prompt, RequestOutput
    from plugtron.request.sampling_params import SamplingParams

__all__ = ["RequestHandler"]


class RequestHandler(Protocol):
    """A controller is one; an engine that brings its own model has another. See `TextGenerationController`."""

    @property
    def runtime(self) -> Runtime:
        """The ranks that requests are agreed on with."""
        ...

    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a prompt; may be called from any thread, several at once."""
        ...

    def check(self, request: InferenceRequest) -> None:
        """Refuse a request that asks for what cannot be done, by raising a ValueError."""
        ...

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""
        ...

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence, before its slot is freed."""
        ...

    def take_outputs(self) -> list[RequestOutput]:
        """Return what has been added to sequences since the last call."""
        ...
