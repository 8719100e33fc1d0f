"""Applies what a replica reports of a request to the server's copy."""

from __future__ import annotations

from plugtron.integrations.replicas.messages import Delta, RequestState, SequenceEnd
from plugtron.request.request import InferenceRequest, InferenceSequence, RequestOutput

__all__ = ["apply"]


def apply(delta: Delta, request: InferenceRequest, now: float) -> RequestOutput:
    """Add a delta to a request, and return it as an output.

    Args:
        now: when it arrived, by this process's clock; the replica's is another.
    """
    sequence = request.sequences[delta.sequence]
    if delta.tokens and request.first_token is None:
        request.first_token = now
    sequence.tokens.extend(delta.tokens)
    sequence.token_times.extend([now] * len(delta.tokens))
    sequence.text += delta.text
    sequence.log_probs.extend(delta.log_probs)
    sequence.finish_reason = delta.finish_reason
    if delta.end is not None:
        _end(sequence, delta.end)
    if delta.state is not None:
        _note(request, delta.state, now)
    return RequestOutput(request, delta.sequence, delta.text, delta.tokens, delta.finish_reason, delta.log_probs)


def _end(sequence: InferenceSequence, end: SequenceEnd) -> None:
    sequence.stop_reason = end.stop_reason
    sequence.cached_tokens = end.cached_tokens
    sequence.preemptions = end.preemptions
    sequence.drafted_tokens = end.drafted_tokens
    sequence.accepted_tokens = end.accepted_tokens
    sequence.weights_changes = end.weights_changes


def _note(request: InferenceRequest, state: RequestState, now: float) -> None:
    if request.started is None and state.running is not None:
        request.started = now - state.running
    request.prompt_log_probs += state.prompt_log_probs
    request.embedding = state.embedding
    request.hidden_states = state.hidden_states
    if state.error is not None:
        request.fail(state.error, refused=state.refused)
    elif state.over:
        request.finished = now
