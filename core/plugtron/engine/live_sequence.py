"""What becomes of a sequence's tokens while it is active: text, and an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plugtron.contracts.tokenizer import Detokenizer, Tokenizer
from plugtron.engine.special_text import detokenizer_for, special_stops
from plugtron.engine.stopping import StopMatcher
from plugtron.request.request import FinishReason, InferenceSequence

__all__ = ["LiveSequence"]


@dataclass(slots=True, kw_only=True)
class LiveSequence:
    """A sequence, its text in the making, and when it ends: at one of `stop_ids`, or with `most` tokens.

    `stop_names` are the stop texts that were asked for and are special tokens, by id.
    """

    sequence: InferenceSequence
    detokenizer: Detokenizer | None
    matcher: StopMatcher
    stop_ids: frozenset[int]
    stop_names: Mapping[int, str]
    most: int
    fresh_text: str = ""

    @classmethod
    def begin(
        cls, sequence: InferenceSequence, tokenizer: Tokenizer | None, eos_ids: tuple[int, ...], limit: int
    ) -> LiveSequence:
        """Take a sequence up. `limit` bounds prompt and answer together."""
        params = sequence.request.params
        eos = () if params.ignore_eos else eos_ids
        room = limit - len(sequence.request.prompt_tokens)
        live = cls(
            sequence=sequence,
            detokenizer=None if tokenizer is None else detokenizer_for(tokenizer, params),
            matcher=StopMatcher(params.stop or (), keep=params.include_stop_str_in_output is True),
            stop_ids=frozenset((*eos, *(params.stop_token_ids or ()))),
            stop_names=special_stops(tokenizer, params) if tokenizer is not None else {},
            most=room if params.most_tokens is None else min(params.most_tokens, room),
        )
        if params.echo and tokenizer is not None:
            prompt = sequence.request.prompt
            live._add_text(prompt if isinstance(prompt, str) else tokenizer.decode(sequence.request.prompt_tokens))
        return live

    def push(self, token: int, now: float) -> FinishReason | None:
        """Add a token that came at `now`; say whether the sequence has ended, and leave the reason with it."""
        sequence = self.sequence
        if not sequence.tokens and sequence.request.first_token is None:
            sequence.request.first_token = now
        sequence.tokens.append(token)
        sequence.token_times.append(now)
        if token in self.stop_ids:
            return self._end(FinishReason.STOP, self._stop_at(token))
        if self.detokenizer is not None:
            stop = self._show(self.detokenizer.push(token))
            if stop is not None:
                return self._end(FinishReason.STOP, stop)
        if len(sequence.tokens) >= self.most:
            return self._end(FinishReason.LENGTH, None)
        return None

    def _stop_at(self, token: int) -> int | str:
        """What the request called the token that it ends at."""
        name = self.stop_names.get(token)
        if name is not None and self.sequence.request.params.include_stop_str_in_output:
            self._add_text(self.matcher.flush() + name)
        return token if name is None else name

    def end(self, reason: FinishReason) -> None:
        """End it where no token of its own does, and let go of the text that was held back."""
        self._end(reason, None)

    def take_fresh(self) -> str:
        """Return the text that has been added since the last call."""
        taken, self.fresh_text = self.fresh_text, ""
        return taken

    def _show(self, text: str) -> str | None:
        """Pass text on to the sequence as far as no stop text can be in it; return the stop that was met."""
        active = len(self.sequence.tokens) >= (self.sequence.request.params.min_tokens or 0)
        shown, stop = self.matcher.feed(text, active=active)
        self._add_text(shown)
        return stop

    def _add_text(self, text: str) -> None:
        self.sequence.text += text
        self.fresh_text += text

    def _end(self, reason: FinishReason, stop: int | str | None) -> FinishReason:
        # A stop text has cut what came after it; any other end lets go of what was held back. That remainder, the
        # bytes of an unfinished character, may be the last piece of a stop text.
        if (not isinstance(stop, str) or stop in self.stop_names.values()) and self.detokenizer is not None:
            late = self._show(self.detokenizer.finish())
            if late is None:
                self._add_text(self.matcher.flush())
            else:
                reason, stop = FinishReason.STOP, late
        self.sequence.finish_reason, self.sequence.stop_reason = reason, stop
        return reason
