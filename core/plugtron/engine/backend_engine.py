"""The base of engines that bring their own model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from plugtron.contracts.parts import Parts
from plugtron.engine.backend_params import BackendParams
from plugtron.engine.backend_requests import BackendRequests, Generated
from plugtron.engine.batching_engine import BatchingEngine
from plugtron.plugin.options import Params
from plugtron.request.request import InferenceRequest, InferenceSequence

__all__ = ["BackendEngine"]


class BackendEngine(BatchingEngine):
    """Says what comes next in each sequence; all else about requests is done here, as in plugtron's own engines.

    That is: tokenizing, checking, seeds, slots by priority, text, stop texts and ids, lengths, deadlines, aborts, and
    what is reported. A component of such an engine needs a tokenizer, if anything.

    Args:
        parts: with a tokenizer, unless the checkpoint has none; prompts are ids then.
        slots: how many sequences may be active at once.
        limit: the longest sequence, prompt and answer together.
        vocab_size: ids are below this.

    Attributes:
        params: the fields of a request that the engine consumes, which its component announces.
    """

    params: ClassVar[type[Params]] = BackendParams

    def __init__(self, parts: Parts, *, slots: int, limit: int, vocab_size: int) -> None:
        self._slots = slots
        self._requests = BackendRequests(
            parts,
            self.params,
            limit=limit,
            vocab_size=vocab_size,
            check=self.check_request,
            begin=self.begin_sequence,
            end=self.end_sequence,
        )
        super().__init__(self._requests, slots=slots, limit=limit, seed=parts.seed)

    @abstractmethod
    def begin_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence: its prompt is `request.prompt_tokens`. What is raised fails its request alone."""

    @abstractmethod
    def advance(self) -> Iterable[Generated]:
        """Return what has been generated for sequences that were begun and have not ended, at least a token of one.

        It may wait for that, but not for long (some hundredths of a second) where it can return nothing instead:
        aborts and deadlines are looked at between two calls. What is raised ends all active requests.
        """

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence that has ended, been aborted, or failed."""

    def check_request(self, request: InferenceRequest) -> None:
        """Refuse what the model cannot do, by raising a ValueError; parameters that `params` does not have are."""

    def _advance(self) -> None:
        while self._scheduler.waiting and self._scheduler.has_room:
            self._start_sequence(self._scheduler.admit())
        if any(sequence.finish_reason is None for sequence in self._scheduler.active.values()):
            self._account.step(sum(map(self._requests.accept, self.advance())))

    def _abandon_steps(self) -> None:
        """There are none: what is under way belongs to sequences, which are let go of one by one."""

    def _retire_ended(self) -> None:
        for sequence in [entry for entry in self._scheduler.active.values() if entry.finish_reason is not None]:
            self._end_sequence(sequence)

    def _blocks(self) -> tuple[int, int, int]:
        return self._slots, len(self._scheduler.active), 0
