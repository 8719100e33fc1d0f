"""What the engines have in common: the way in, the way out, and the account that they keep."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from plugtron.contracts.engine import Engine
from plugtron.contracts.stats import EngineStats
from plugtron.engine.events import Command, Sleep, UpdateWeights, Wake
from plugtron.engine.metrics import EngineMetrics
from plugtron.engine.output_collector import OutputCollector
from plugtron.engine.request_handler import RequestHandler
from plugtron.engine.request_processor import RequestProcessor
from plugtron.engine.scheduler import Scheduler
from plugtron.errors import EngineError, PlugtronError
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence, RequestOutput
from plugtron.utils.turn_lock import TurnLock

__all__ = ["BatchingEngine"]


class BatchingEngine(Engine):
    """Runs sequences in batches; an engine of this kind says who is in the next step.

    Its methods may be called from several threads; they take turns.

    Args:
        handler: what sequences begin and end with, such as a controller.
        slots: how many sequences may be active at once.
        limit: the longest sequence, prompt and answer together.
        seed: what requests without a seed of their own derive theirs from.
    """

    def __init__(self, handler: RequestHandler, *, slots: int, limit: int, seed: int | None) -> None:
        self._handler = handler
        self._limit = limit
        self._scheduler = Scheduler(slots)
        self._intake = RequestProcessor(handler, self._scheduler, seed=seed, limit=limit)
        self._reports = OutputCollector()
        self._account = EngineMetrics()
        self._turn = TurnLock()
        self._asleep = False
        self._without_weights = False
        self._version = 0
        # Why the last command could not be obeyed.
        self._refusal: PlugtronError | None = None

    @property
    def has_unfinished_requests(self) -> bool:
        """Whether anything waits, runs, or has ended without having been reported; asleep, nothing runs."""
        if self._intake.closed:
            return False
        running = self._scheduler.has_unfinished and not self._asleep
        return self._intake.has_events or running or bool(self._scheduler.completed)

    @property
    def closed(self) -> bool:
        """Whether the engine, here or at the leader, has been closed."""
        return self._intake.closed

    @property
    def max_sequence_length(self) -> int:
        """How long a sequence may get, prompt and answer together."""
        return self._limit

    @property
    def stats(self) -> EngineStats:
        """What the engine counts of its work."""
        blocks, used, kept = self._blocks()
        return self._account.stats(
            running=len(self._scheduler.active),
            waiting=len(self._scheduler.waiting),
            blocks=blocks,
            used=used,
            kept=kept,
        )

    def add_request(self, request: InferenceRequest) -> int:
        """Take a request up for the next step that has room."""
        self._intake.prepare(request)
        with self._turn:
            return self._intake.add(request)

    def prepare_request(self, request: InferenceRequest) -> None:
        """Check a request and tokenize its prompt, beside whatever step is going on."""
        self._intake.prepare(request)

    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step."""
        with self._turn:
            return self._intake.abort(request_id)

    def step(self) -> Sequence[RequestOutput]:
        """Do a step of what there is to do, and return what it added."""
        with self._turn:
            return self._step()

    def _step(self) -> Sequence[RequestOutput]:
        commands = self._intake.apply()
        if self._intake.closed:
            return []  # nobody will take part in a step any more
        if commands:
            for command in commands:
                self._obey(command)
            return []
        begin = time.perf_counter()
        try:
            if not self._asleep:
                self._advance()
        except BaseException as error:
            # Part of the batch may have moved on and part not: none of it can be trusted to go on.
            for sequence in self._scheduler.active.values():
                _end(sequence.request, error)
            self._abandon_steps()
            self._retire_ended()
            raise
        self._account.note(len(self._scheduler.active), len(self._scheduler.waiting), self._blocks()[1])
        self._retire_ended()
        outputs = self._reports.collect(self._handler.take_outputs(), self._scheduler.take_completed())
        self._account.spent(step=time.perf_counter() - begin)
        return outputs

    @property
    def weights_version(self) -> int:
        """Which weights the next step uses."""
        return self._version

    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> None:
        """Have all ranks read other weights before the next step."""
        with self._turn:
            number = self._version + 1 if version is None else version
            self._order(UpdateWeights(str(path), number, recompute))

    def sleep(self, *, weights: bool = False) -> None:
        """Have all ranks give back memory, and do no steps."""
        with self._turn:
            self._order(Sleep(weights))

    def wake(self) -> None:
        """Have all ranks take memory again, and do steps."""
        with self._turn:
            self._order(Wake())

    def _order(self, command: Command) -> None:
        """Have all ranks obey a command now.

        Raises:
            PlugtronError: they could not, any of them.
        """
        self._intake.order(command)
        self._step()
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def _obey(self, command: Command) -> None:
        """Do what a command says. What goes wrong does so on all ranks alike; who gave it is told, and all go on."""
        try:
            if isinstance(command, UpdateWeights):
                self._take_weights(command)
            elif isinstance(command, Sleep):
                self._fall_asleep(weights=command.weights)
            elif isinstance(command, Wake) and self._asleep:
                self._restore_memory()
                self._asleep = self._without_weights = False
        except PlugtronError as error:
            self._refusal = error

    def _fall_asleep(self, *, weights: bool) -> None:
        """Give memory back; asleep, that of the weights alone is left to give."""
        if self._asleep and (self._without_weights or not weights):
            return
        if not self._asleep:
            self._interrupt()
        self._release_memory(weights=weights)
        self._asleep, self._without_weights = True, weights

    def _take_weights(self, command: UpdateWeights) -> None:
        if command.recompute and not self._asleep:
            self._interrupt()
        self._replace_weights(Path(command.path))
        self._version = command.version
        self._intake.note_weights(command.version)

    def close(self) -> None:
        """End the other ranks that this engine leads, if any, and let go of the model and its memory."""
        with self._turn:
            self._intake.close()
            self._abandon_steps()

    @abstractmethod
    def _advance(self) -> None:
        """Start and finish what this step is to do."""

    @abstractmethod
    def _abandon_steps(self) -> None:
        """Forget the steps that are under way, one of which has failed."""

    def _interrupt(self) -> None:
        """Finish the steps that are under way, and have memory hold nothing of the sequences that are running.

        Raises:
            EngineError: this engine cannot compute sequences again.
        """
        if self._scheduler.active:
            raise EngineError(
                f"{type(self).__name__} cannot compute the requests that are running again: let them end first"
            )

    def _replace_weights(self, path: Path) -> None:
        """Have the model read other weights, and forget what memory holds for others to share. Optional."""
        del path
        raise EngineError(f"{type(self).__name__} keeps the weights that it has")

    def _release_memory(self, *, weights: bool) -> None:
        """Give memory back, which holds nothing of any sequence. Optional."""
        del weights
        raise EngineError(f"{type(self).__name__} keeps its memory")

    def _restore_memory(self) -> None:
        """Take memory again, and have the model get ready. Optional."""

    @abstractmethod
    def _retire_ended(self) -> None:
        """Take slots and memory from the sequences that have ended."""

    @abstractmethod
    def _blocks(self) -> tuple[int, int, int]:
        """Blocks of memory in all, used by sequences, and kept for their content alone."""

    def _start_sequence(self, sequence: InferenceSequence) -> bool:
        """Have the handler take up a sequence that has its slot."""
        self._account.admitted(sequence)
        try:
            self._handler.start_sequence(sequence)
        # Partly plugins' code, such as a tokenizer's: what it raises fails this request alone.
        except Exception as error:
            sequence.request.fail(f"{type(error).__name__}: {error}")
            return False
        return True

    def _end_sequence(self, sequence: InferenceSequence) -> None:
        """Have everybody let go of a sequence whose memory has been given back."""
        self._account.ended(sequence)
        self._handler.end_sequence(sequence)
        self._scheduler.retire(sequence)
        self._intake.finish_if_over(sequence.request)


def _end(request: InferenceRequest, error: BaseException) -> None:
    """End a request that was in a failing step. An interrupt is nobody's failure."""
    if request.is_finished:
        return
    if isinstance(error, Exception):
        request.fail(f"a step failed: {type(error).__name__}: {error}")
        return
    for sequence in request.sequences:
        sequence.finish_reason = sequence.finish_reason or FinishReason.ABORT
