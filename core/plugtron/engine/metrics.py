"""The account that an engine keeps of its work."""

from __future__ import annotations

from plugtron.contracts.stats import EngineStats
from plugtron.request.request import InferenceSequence

__all__ = ["EngineMetrics"]


class EngineMetrics:
    """Counts since the engine was made, and the greatest values after any step."""

    def __init__(self) -> None:
        self._steps = 0
        self._tokens = 0
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._preemptions = 0
        self._drafted = 0
        self._accepted = 0
        self._step_seconds = self._start_seconds = self._finish_seconds = 0.0
        self._most = (0, 0, 0)

    def admitted(self, sequence: InferenceSequence) -> None:
        """Note a sequence that has been given a slot, and what memory had of its prompt."""
        self._prompt_tokens += len(sequence.request.prompt_tokens)
        self._cached_tokens += sequence.cached_tokens

    def preempted(self, sequence: InferenceSequence) -> None:
        """Note a sequence that has given its memory away."""
        sequence.preemptions += 1
        self._preemptions += 1

    def ended(self, sequence: InferenceSequence) -> None:
        """Note a sequence that gives its slot back."""
        self._drafted += sequence.drafted_tokens
        self._accepted += sequence.accepted_tokens

    def step(self, tokens: int) -> None:
        """Note a step that computes so many tokens."""
        self._steps += 1
        self._tokens += tokens

    def spent(self, *, step: float = 0.0, start: float = 0.0, finish: float = 0.0) -> None:
        """Note seconds that steps, starting one and finishing one took."""
        self._step_seconds += step
        self._start_seconds += start
        self._finish_seconds += finish

    def note(self, running: int, waiting: int, used: int) -> None:
        """Note how things stand after a step."""
        peak_running, peak_waiting, most_used = self._most
        self._most = max(peak_running, running), max(peak_waiting, waiting), max(most_used, used)

    def stats(self, *, running: int, waiting: int, blocks: int, used: int, kept: int) -> EngineStats:
        """Put the account beside how things stand now."""
        peak_running, peak_waiting, most_used = self._most
        return EngineStats(
            running=running,
            waiting=waiting,
            blocks=blocks,
            blocks_used=used,
            cached_blocks=kept,
            peak_running=peak_running,
            peak_waiting=peak_waiting,
            peak_blocks_used=most_used,
            steps=self._steps,
            tokens=self._tokens,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            preemptions=self._preemptions,
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
            step_seconds=self._step_seconds,
            start_seconds=self._start_seconds,
            finish_seconds=self._finish_seconds,
        )
