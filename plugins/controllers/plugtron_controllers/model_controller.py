"""What a controller of one model passes on to it."""

from __future__ import annotations

from pathlib import Path

from plugtron.contracts import KVOrigin, ModelWrapper, TextGenerationController

__all__ = ["ModelController"]


class ModelController(TextGenerationController):
    """Runs one model, which knows itself how its weights and memory come and go."""

    _wrapper: ModelWrapper

    def update_weights(self, path: Path) -> None:
        """Have the model read them."""
        self._wrapper.update_weights(path)

    def kv_origin(self) -> KVOrigin | None:
        """Say what the model's keys and values depend on."""
        return self._wrapper.kv_origin()

    def release_memory(self, *, weights: bool) -> None:
        """Have the model let go of it."""
        self._wrapper.release_memory(weights=weights)
