"""Special tokens and text: whether they are in it, set off by spaces, and stop texts that are special tokens."""

from __future__ import annotations

from plugtron.contracts.tokenizer import Detokenizer, Tokenizer
from plugtron.engine.stopping import StopMatcher
from plugtron.errors import RequestError
from plugtron.request.request import InferenceSequence
from plugtron.request.sampling_params import SamplingParams

__all__ = ["detokenizer_for", "special_stops", "text_with_special"]


def detokenizer_for(tokenizer: Tokenizer, params: SamplingParams) -> Detokenizer:
    """Return what turns the ids of a request into text, one by one."""
    if params.skip_special_tokens is not False:
        return tokenizer.incremental()
    inner = tokenizer.incremental(skip_special=False)
    return SpacedDetokenizer(tokenizer, inner) if params.spaces_between_special_tokens else inner


def special_stops(tokenizer: Tokenizer, params: SamplingParams) -> dict[int, str]:
    """Return the stop texts that are the texts of special tokens, by id. They are not in the text to be found there.

    Raises:
        RequestError: a stop text has a special token and more in it, which no text can match.
    """
    found: dict[int, str] = {}
    if params.skip_special_tokens is False:
        return found  # their texts are in the text
    for stop in params.stop or ():
        ids = tokenizer.encode(stop, add_special=False)
        special = [token for token in ids if tokenizer.is_special(token)]
        if len(ids) == 1 and special:
            found[special[0]] = stop
        elif special:
            name = tokenizer.token_bytes(special[0]).decode(errors="replace")
            raise RequestError(
                f"stop: {stop!r} has the special token {name!r} in it, which is left out of the text; stop at the "
                f"token (stop: [{name!r}] or stop_token_ids: [{special[0]}]), or set skip_special_tokens: false"
            )
    return found


def text_with_special(sequence: InferenceSequence, tokenizer: Tokenizer) -> str:
    """The text of a sequence with its special tokens, without what has ended it, whatever its request shows."""
    params = sequence.request.params
    detokenizer = tokenizer.incremental(skip_special=False)
    matcher = StopMatcher(params.stop or ())
    tokens = sequence.tokens[:-1] if isinstance(sequence.stop_reason, int) else sequence.tokens
    text = ""
    for count, token in enumerate(tokens, start=1):
        shown, stop = matcher.feed(detokenizer.push(token), active=count >= (params.min_tokens or 0))
        text += shown
        if stop is not None:
            return text
    shown, stop = matcher.feed(detokenizer.finish(), active=True)
    return text + shown + ("" if stop is not None else matcher.flush())


class SpacedDetokenizer(Detokenizer):
    """Puts a space between a special token and what is beside it."""

    def __init__(self, tokenizer: Tokenizer, inner: Detokenizer) -> None:
        self._tokenizer = tokenizer
        self._inner = inner
        self._last_special: bool | None = None

    def push(self, token: int) -> str:
        """Add an id; return the text that is now certain."""
        special, last = self._tokenizer.is_special(token), self._last_special
        self._last_special = special
        return (" " if last is not None and (special or last) else "") + self._inner.push(token)

    def finish(self) -> str:
        """Return what was held back."""
        return self._inner.finish()
