"""The metadata of a GGUF file under its architecture's name, and what its tensors' shapes say besides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError

__all__ = ["Metadata"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Keys without the architecture's name, whose types and ranges have been checked, and tensors' shapes by name."""

    model: ModelDescription
    values: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, model: ModelDescription) -> Self:
        """Read what the header says."""
        prefix, metadata = f"{model.architecture}.", model.configuration
        values = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
        return cls(model=model, values=values, shapes=metadata["tensors"])

    def get(self, key: str, default: Any) -> Any:
        """The value of a key that may be missing."""
        return self.values.get(key, default)

    def need(self, key: str, default: float | None = None) -> Any:
        """A number above 0 that is the same for all layers.

        Raises:
            CheckpointError: it is missing, and there is no default, or it is something else.
        """
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if isinstance(value, list) and len(set(value)) == 1:  # one entry per layer, all alike
            value = value[0]
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise self.error(key, "must be one number above 0, the same for all layers")
        return value

    def refuse_unknown(self, understood: Collection[str]) -> None:
        """See to it that nothing is overlooked that changes what is computed.

        Raises:
            CheckpointError: naming a key that is not understood, and does not say "none of it".
        """
        for key, value in self.values.items():
            if key not in understood and value not in (0, 1.0, False, ""):
                raise self.error(f"{key} (= {value!r})", "is not implemented")

    def error(self, key: str, text: str) -> CheckpointError:
        """An error that names the file, a key, and what is wrong with it."""
        return CheckpointError(f"{self.model.path}: {self.model.architecture}.{key} {text}")
