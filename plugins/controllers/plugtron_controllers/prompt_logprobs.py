"""Log probabilities of prompts: which positions are still to be reported."""

from __future__ import annotations

from plugtron.errors import RequestError
from plugtron.request import InferenceRequest, InferenceSequence, LogProbs

__all__ = ["add_prompt_log_probs", "check_prompt_logprobs", "first_to_score", "scores_prompt"]


def scores_prompt(sequence: InferenceSequence) -> bool:
    """Whether a sequence reports its prompt: the first of a request does so for all."""
    return sequence.request.params.prompt_logprobs is not None and sequence.index == 0


def first_to_score(sequence: InferenceSequence) -> int | None:
    """The first position of a prompt whose logits are still to be reported; None: there is none.

    What has been reported is not reported again when a sequence is computed again after a preemption.
    """
    if not scores_prompt(sequence):
        return None
    request = sequence.request
    done = len(request.prompt_log_probs) or _unscored(request)
    return done - 1 if done < len(request.prompt_tokens) else None


def add_prompt_log_probs(request: InferenceRequest, entries: tuple[LogProbs, ...]) -> None:
    """Append what a step has found. The first token follows nothing, and so has no probability."""
    if not request.prompt_log_probs:
        request.prompt_log_probs += [None] * _unscored(request)
    request.prompt_log_probs += entries


def check_prompt_logprobs(request: InferenceRequest, vocab_size: int) -> None:
    """Refuse what cannot be reported, and report what follows nothing.

    Raises:
        RequestError: more ids are asked for than there are, or positions beyond the prompt.
    """
    params, length = request.params, len(request.prompt_tokens)
    start = params.prompt_logprobs_start
    if params.prompt_logprobs is None:
        return
    if params.prompt_logprobs > vocab_size:
        raise RequestError(f"prompt_logprobs: {params.prompt_logprobs} is more than the {vocab_size} tokens there are")
    if start is not None and start > length:
        raise RequestError(f"prompt_logprobs_start: {start} is beyond the prompt (accepted: 0 to {length})")
    if _unscored(request) >= length:  # no step will have anything to report
        request.prompt_log_probs = [None] * length


def _unscored(request: InferenceRequest) -> int:
    return max(1, request.params.prompt_logprobs_start or 0)
