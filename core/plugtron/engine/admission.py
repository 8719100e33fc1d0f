"""What a request must be before it is taken up."""

from __future__ import annotations

from collections.abc import Collection

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.engine.special_text import special_stops
from plugtron.errors import RequestError, suggestion
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, Prompt
from plugtron.request.sampling_params import SamplingParams
from plugtron.tokenizer.chat import check_tools, render_chat

__all__ = ["check_request", "tokenize"]

#: Bytes of a token that only few are longer than: shorter texts are not looked at before they are tokenized.
_LONG_TOKEN = 16


def tokenize(
    prompt: Prompt,
    tokenizer: Tokenizer | None,
    vocab_size: int,
    chat: ChatOptions | None = None,
    limit: int | None = None,
) -> list[int]:
    """Return the ids of a prompt; `chat` says how messages are written out.

    Args:
        limit: tokens that a sequence may have. A text that is far beyond it is not tokenized.

    Raises:
        RequestError: it is empty, is text while there is no tokenizer, or has ids outside the vocabulary.
    """
    if isinstance(prompt, str):
        ids = _encode(_tokenizer(tokenizer), prompt, limit, add_special=True)
    elif prompt and isinstance(prompt[0], dict):
        template_user = _tokenizer(tokenizer)
        check_tools(template_user, chat)
        # A template writes BOS itself where the model wants one.
        ids = _encode(template_user, render_chat(template_user, prompt, chat), limit, add_special=False)  # pyright: ignore[reportArgumentType] - all entries are messages or none is
    elif isinstance(prompt, list | tuple):
        ids = list(prompt)
    else:
        raise RequestError(f"a prompt is a text, token ids, or messages (got {type(prompt).__name__})")
    if not ids:
        raise RequestError("the prompt is empty: a model needs at least one token to go on from")
    for token in ids:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocab_size:
            raise RequestError(f"the prompt has {token!r}, which is no token of this model (0 to {vocab_size - 1})")
    return ids  # pyright: ignore[reportReturnType] - every entry has been looked at


def _check_length(text: str, limit: int, tokenizer: Tokenizer) -> None:
    """Refuse a text that the longest tokens of the vocabulary could not hold. White space may become less."""
    longest = max(len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size))
    least = -(-len(" ".join(text.split()).encode()) // max(longest, 1))
    if least > limit:
        raise RequestError(
            f"the prompt of {len(text)} characters has {least} tokens or more, over the sequence limit of {limit}"
        )


def check_request(
    request: InferenceRequest, consumed: Collection[str], tokenizer: Tokenizer | None, vocab_size: int
) -> None:
    """Refuse what nobody consumes, what needs a tokenizer that is not there, and ids that the model does not have.

    Args:
        consumed: the names of the parameters that some part of the run uses.

    Raises:
        RequestError: with the parameter and the reason.
    """
    params = request.params
    _check_consumed(params, consumed)
    if params.stop and tokenizer is None:
        raise RequestError("stop: this checkpoint has no tokenizer; stop_token_ids works without one")
    if params.stop and tokenizer is not None:
        ends = (*(params.stop_token_ids or ()), *special_stops(tokenizer, params))
        if ends:  # so that whatever goes by stop_token_ids knows of them
            request.params = params = params.model_copy(update={"stop_token_ids": list(dict.fromkeys(ends))})
    if params.echo and tokenizer is None:
        raise RequestError("echo: this checkpoint has no tokenizer, and so the prompt no text")
    if params.logprobs is not None and params.logprobs > vocab_size:
        raise RequestError(f"logprobs: {params.logprobs} is more than the {vocab_size} tokens of this model")
    for token in params.stop_token_ids or ():
        if not 0 <= token < vocab_size:
            raise RequestError(f"stop_token_ids: {token} is no token of this model (accepted: 0 to {vocab_size - 1})")


def _encode(tokenizer: Tokenizer, text: str, limit: int | None, *, add_special: bool) -> list[int]:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise RequestError(f"the prompt is no Unicode text: character {error.start} is half of a pair") from None
    if limit is not None and size > limit * _LONG_TOKEN:
        _check_length(text, limit, tokenizer)
    return tokenizer.encode(text, add_special=add_special)


def _tokenizer(tokenizer: Tokenizer | None) -> Tokenizer:
    if tokenizer is None:
        raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids, or name a tokenizer")
    return tokenizer


def _check_consumed(params: SamplingParams, consumed: Collection[str]) -> None:
    for name in params.asked():
        if name in consumed or (name == "temperature" and params.greedy):
            continue
        known = ", ".join(sorted(consumed))
        raise RequestError(
            f"{name}: no part of this run uses it (in use: {known}).{suggestion(name, sorted(consumed))}"
        )
