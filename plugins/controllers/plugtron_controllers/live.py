"""What the controller keeps of a sequence while it is active."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field

from plugtron.contracts.detokenizer import Detokenizer
from plugtron.contracts.sampler import Sampler
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.request import FinishReason, InferenceSequence
from plugtron_controllers.stopping import StopMatcher

__all__ = ["LiveSequence"]


@dataclass(slots=True, kw_only=True)
class LiveSequence:
    """A sequence, the stages of the chain that it uses, and its text in the making.

    `failure`: what a stage raised when it was told of the sequence; the first draw reports it.
    """

    sequence: InferenceSequence
    stages: frozenset[Sampler]
    detokenizer: Detokenizer | None
    matcher: StopMatcher
    stop_ids: frozenset[int]
    limit: int
    failure: str | None = None
    added: list[Sampler] = field(default_factory=list)
    fresh_tokens: list[int] = field(default_factory=list)
    fresh_text: str = ""

    @classmethod
    def begin(
        cls,
        sequence: InferenceSequence,
        stages: frozenset[Sampler],
        tokenizer: Tokenizer | None,
        eos_ids: tuple[int, ...],
        limit: int,
    ) -> LiveSequence:
        """Take a sequence up. `limit` bounds prompt and answer together."""
        params = sequence.request.params
        eos = () if params.ignore_eos else eos_ids
        return cls(
            sequence=sequence,
            stages=stages,
            detokenizer=None if tokenizer is None else tokenizer.incremental(),
            matcher=StopMatcher(params.stop or ()),
            stop_ids=frozenset((*eos, *(params.stop_token_ids or ()))),
            limit=limit,
        )

    def tell_stages(self) -> None:
        """Tell the stages of the sequence. A stage is a plugin's code: what it raises fails this sequence alone."""
        assert self.sequence.slot is not None
        try:
            for sampler in self.stages:
                sampler.add(self.sequence.slot, self.sequence)
                self.added.append(sampler)
        except Exception as error:
            self.failure = f"a sampler failed: {type(error).__name__}: {error}"

    def release_stages(self) -> None:
        """Have the stages forget the sequence; whatever they raise, its slot is given back."""
        assert self.sequence.slot is not None
        for sampler in self.added:
            try:
                sampler.remove(self.sequence.slot)
            except Exception as error:
                warnings.warn(f"{type(sampler).__name__}.remove: {type(error).__name__}: {error}", stacklevel=2)

    def push(self, token: int) -> FinishReason | None:
        """Add a token; say whether the sequence has ended, and leave the reason with it."""
        sequence, params = self.sequence, self.sequence.request.params
        if sequence.request.first_token is None:
            sequence.request.first_token = time.perf_counter()
        sequence.tokens.append(token)
        self.fresh_tokens.append(token)
        if token in self.stop_ids:
            return self._end(FinishReason.STOP, token)
        if self.detokenizer is not None:
            stop = self._show(self.detokenizer.push(token))
            if stop is not None:
                return self._end(FinishReason.STOP, stop)
        if len(sequence.tokens) == params.max_tokens or sequence.length >= self.limit:
            return self._end(FinishReason.LENGTH, None)
        return None

    def take_fresh(self) -> tuple[tuple[int, ...], str]:
        """Return what has been added since the last call."""
        taken = tuple(self.fresh_tokens), self.fresh_text
        self.fresh_tokens, self.fresh_text = [], ""
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
        if not isinstance(stop, str) and self.detokenizer is not None:
            late = self._show(self.detokenizer.finish())
            if late is None:
                self._add_text(self.matcher.flush())
            else:
                reason, stop = FinishReason.STOP, late
        self.sequence.finish_reason, self.sequence.stop_reason = reason, stop
        return reason
