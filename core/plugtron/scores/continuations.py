"""Scoring continuations: prompts that are given to several are computed once, where an engine keeps prefixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from plugtron.assembly.session import Session
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.request.request import InferenceRequest, LogProbs, Prompt
from plugtron.request.sampling_params import SamplingParams
from plugtron.scores.score import Score

__all__ = ["encode_pair", "encode_text", "score_continuations"]


def encode_pair(tokenizer: Tokenizer | None, prompt: Prompt, continuation: Prompt) -> tuple[list[int], list[int]]:
    """Return the ids of a prompt and of what continues it.

    Two texts are tokenized as one, which is how a model has seen such text, and divided where the prompt's own ids end;
    spaces at the end of the prompt go to the continuation (as lm-evaluation-harness does).

    Raises:
        RequestError: one is a text and the other ids, or there is no tokenizer for texts.
    """
    if isinstance(prompt, str) and isinstance(continuation, str):
        own = encode_text(tokenizer, prompt.rstrip(" ") if prompt.strip() else prompt)
        return own, encode_text(tokenizer, prompt + continuation)[len(own) :]
    if isinstance(prompt, str) or isinstance(continuation, str):
        raise RequestError("a prompt and its continuation are both texts, or both token ids")
    return encode_text(tokenizer, prompt), encode_text(tokenizer, continuation)


def encode_text(tokenizer: Tokenizer | None, text: Prompt) -> list[int]:
    """Return the ids of a text; ids are what they are.

    Raises:
        RequestError: it is a conversation, or there is no tokenizer.
    """
    if not isinstance(text, str):
        if any(isinstance(entry, Mapping) for entry in text):
            raise RequestError("texts or token ids can be scored, not messages: write them out first")
        return [token for token in text if not isinstance(token, Mapping)]
    if tokenizer is None:
        raise RequestError("this checkpoint has no tokenizer: give token ids")
    return tokenizer.encode(text)


def score_continuations(session: Session, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
    """Score each continuation after its prompt, in order.

    Of several with the same prompt one goes first, so that memory has the prompt when the others come.
    """
    prompts = Counter(tuple(prompt) for prompt, _ in pairs)
    params = SamplingParams(max_tokens=0, prompt_logprobs=1)
    requests = [
        InferenceRequest(
            prompt=[*prompt, *continuation],
            params=params.model_copy(update={"prompt_logprobs_start": len(prompt)}),
            index=index,
        )
        for index, (prompt, continuation) in enumerate(pairs)
    ]
    first: list[InferenceRequest] = []
    rest: list[InferenceRequest] = []
    seen: set[tuple[int, ...]] = set()
    for request, (prompt, continuation) in zip(requests, pairs, strict=True):
        if not prompt or not continuation:
            request.fail("the prompt is empty" if not prompt else "the continuation is empty")
            continue
        key = tuple(prompt)
        (rest if key in seen or prompts[key] == 1 else first).append(request)
        seen.add(key)
    for part in (first, rest):
        for _ in session.run(part) if part else ():
            pass
    return [
        Score(tokens=tuple(continuation), log_probs=_entries(request, len(prompt)), error=request.error)
        for request, (prompt, continuation) in zip(requests, pairs, strict=True)
    ]


def _entries(request: InferenceRequest, start: int) -> tuple[LogProbs, ...]:
    return tuple(entry for entry in request.prompt_log_probs[start:] if entry is not None)
