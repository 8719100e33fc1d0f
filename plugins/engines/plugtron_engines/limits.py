"""How long a sequence may get."""

from __future__ import annotations

from plugtron.contracts import ModelInfo
from plugtron.errors import SpecError

__all__ = ["sequence_limit"]

_DEFAULT = 2048


def sequence_limit(asked: int | None, info: ModelInfo) -> int:
    """Return the longest sequence, prompt and answer together: as asked, or what the model allows, up to 2048.

    Raises:
        SpecError: more is asked than the model has positions.
    """
    limit = asked or min(info.max_positions, _DEFAULT)
    if limit > info.max_positions:
        raise SpecError(
            f"engine.options.max_sequence_length: {limit} is more than the {info.max_positions} positions of this model"
        )
    return limit
