"""What is done to a run as a whole between two steps: pausing, giving memory back, other weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

__all__ = ["Control"]


class Control(ABC):
    """Each method waits for the step that is going on, and has its effect before the next. From any thread."""

    @property
    @abstractmethod
    def is_paused(self) -> bool:
        """Whether no steps are done: paused, or asleep."""

    @property
    @abstractmethod
    def is_asleep(self) -> bool:
        """Whether memory has been given back."""

    @property
    @abstractmethod
    def weights_version(self) -> int:
        """Which weights the next step uses: 0, until `update_weights`."""

    @abstractmethod
    def pause(self) -> None:
        """Do no more steps. Requests stay as they are; new ones wait."""

    @abstractmethod
    def resume(self) -> None:
        """Do steps again after `pause`; asleep, from `wake` on."""

    @abstractmethod
    def sleep(self, *, weights: bool = False) -> None:
        """Do no more steps, and give back the memory of keys and values.

        Requests that are running go on after `wake`, computed from the start.

        Args:
            weights: give back that of the weights, too; they are read again by `wake`.

        Raises:
            EngineError, PluginError: this engine, or its model, cannot do it, or not while requests are running.
        """

    @abstractmethod
    def wake(self) -> None:
        """Take memory again after `sleep`, and do steps unless paused.

        Raises:
            SpecError: there is not as much; all stays asleep.
        """

    @abstractmethod
    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> int:
        """Use the weights of another checkpoint of the same model from the next step on.

        Asleep, the weights are read when the model wakes, so that nothing is held twice.

        Args:
            version: of these weights, for results, at least 0; by default one more than before.
            recompute: compute what running requests have in memory with these weights; else it stays as it is.

        Returns:
            The version.

        Raises:
            RequestError: the version is below 0.
            CheckpointError: the checkpoint is broken, or of another model; all goes on as before.
            EngineError, PluginError: this engine, or its model, cannot do it, or not while requests are running.
        """
