"""What an engine's step returns: an output for each sequence that moved on, and a last one for each that ended."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.request.request import FinishReason, InferenceRequest, RequestOutput

__all__ = ["OutputCollector"]


class OutputCollector:
    """Sees to it that every sequence is reported as ended exactly once."""

    def __init__(self) -> None:
        # Which sequences of open requests have been reported as ended.
        self._ended: set[tuple[int | None, int]] = set()

    def collect(self, outputs: list[RequestOutput], completed: Sequence[InferenceRequest]) -> list[RequestOutput]:
        """Return a step's outputs, and what is to be said of the requests that are over."""
        self._ended |= {_key(output.request, output.sequence) for output in outputs if output.finish_reason is not None}
        for request in completed:
            outputs += self._last_words(request)
        return outputs

    def _last_words(self, request: InferenceRequest) -> list[RequestOutput]:
        """An output for every sequence that has ended without one: refused, aborted, or failed with another."""
        reasons = {sequence.index: sequence.finish_reason for sequence in request.sequences} or {0: None}
        if request.error is not None:
            reasons = dict.fromkeys(reasons, FinishReason.ERROR)
        words = [
            RequestOutput(request, index, "", (), reason or FinishReason.ABORT)
            for index, reason in reasons.items()
            if _key(request, index) not in self._ended
        ]
        self._ended -= {_key(request, index) for index in reasons}
        return words


def _key(request: InferenceRequest, sequence: int) -> tuple[int | None, int]:
    return request.id, sequence
