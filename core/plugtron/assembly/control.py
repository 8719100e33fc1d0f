"""Stopping a session's steps, and what is done to its model meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from plugtron.contracts.control import Control
from plugtron.contracts.engine import Engine
from plugtron.errors import RequestError
from plugtron.utils.gate import Gate
from plugtron.utils.turn_lock import TurnLock

__all__ = ["SessionControl"]


class SessionControl(Control):
    """Does what changes an engine as a whole, in turn with its steps. `gate` is open while steps may be done.

    Args:
        engine: returns the engine, after it has seen whether it can be used.
        turn: that steps take.
    """

    def __init__(self, engine: Callable[[], Engine], turn: TurnLock) -> None:
        self.gate = Gate()
        self._engine = engine
        self._turn = turn
        self._paused = False
        self._asleep = False

    @property
    def is_paused(self) -> bool:
        """Whether no steps are done."""
        return not self.gate.is_open

    @property
    def is_asleep(self) -> bool:
        """Whether memory has been given back."""
        return self._asleep

    @property
    def weights_version(self) -> int:
        """Which weights the next step uses."""
        return self._engine().weights_version

    def pause(self) -> None:
        """Do no more steps; the one that is going on is waited for."""
        with self._turn:
            self._engine().pause()
            self._paused = True
            self.gate.close()

    def resume(self) -> None:
        """Do steps again, unless asleep."""
        with self._turn:
            self._engine().resume()
            self._paused = False
            self._open_if_awake()

    def sleep(self, *, weights: bool = False) -> None:
        """Do no more steps, and give memory back."""
        with self._turn:
            self._engine().sleep(weights=weights)
            self._asleep = True
            self.gate.close()

    def wake(self) -> None:
        """Take memory again, and do steps unless paused."""
        with self._turn:
            self._engine().wake()
            self._asleep = False
            self._open_if_awake()

    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> int:
        """Use other weights from the next step on."""
        if version is not None and version < 0:
            raise RequestError(f"version: must be at least 0 (got {version})")
        with self._turn:
            engine = self._engine()
            engine.update_weights(path, version=version, recompute=recompute)
            return engine.weights_version

    def _open_if_awake(self) -> None:
        if not (self._paused or self._asleep):
            self.gate.open()
