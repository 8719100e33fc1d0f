"""Special tokens and text: whether they are in it, set off by spaces, and stop texts that are special tokens."""

from __future__ import annotations

from plugtron.contracts.tokenizer import Detokenizer, Tokenizer
from plugtron.engine.stopping import StopMatcher
from plugtron.errors import RequestError
from plugtron.request.request import InferenceSequence
from plugtron.request.sampling_params import SamplingParams

__all__ = ["SpecialText", "detokenizer_for", "special_stops", "text_with_special"]


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


class SpecialText:
    """The text of one answer with its special tokens, token by token, whatever its request shows of them."""

    def __init__(self, tokenizer: Tokenizer, params: SamplingParams) -> None:
        self._detokenizer = tokenizer.incremental(skip_special=False)
        self._matcher = StopMatcher(params.stop or ())
        self._first_stop = params.min_tokens or 0
        self._count = 0
        self._stopped = False

    def push(self, token: int) -> str:
        """Add a token; return the text that is now certain. Not for the token that has ended the answer."""
        self._count += 1
        return self._shown(self._detokenizer.push(token), active=self._count >= self._first_stop)

    def finish(self) -> str:
        """Return what was held back."""
        text = self._shown(self._detokenizer.finish(), active=True)
        return text if self._stopped else text + self._matcher.flush()

    def _shown(self, text: str, *, active: bool) -> str:
        if self._stopped:
            return ""
        shown, stop = self._matcher.feed(text, active=active)
        self._stopped = stop is not None
        return shown


def text_with_special(sequence: InferenceSequence, tokenizer: Tokenizer) -> str:
    """The text of a sequence with its special tokens, without what has ended it, whatever its request shows."""
    text = SpecialText(tokenizer, sequence.request.params)
    tokens = sequence.tokens[:-1] if isinstance(sequence.stop_reason, int) else sequence.tokens
    return "".join(map(text.push, tokens)) + text.finish()


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
