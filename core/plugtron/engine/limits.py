"""How long a sequence may get."""

from __future__ import annotations

from plugtron.errors import SpecError

__all__ = ["logits_per_step", "sequence_limit"]

_DEFAULT = 2048
_LOGITS = 128


def sequence_limit(asked: int | None, positions: int | None) -> int:
    """Return the longest sequence, prompt and answer together: as asked, or what the model allows, up to 2048.

    Args:
        asked: the option max_sequence_length.
        positions: how many the model has; None: nobody knows.

    Raises:
        SpecError: more is asked than the model has positions.
    """
    most = _DEFAULT if positions is None else min(positions, _DEFAULT)
    limit = asked or most
    if positions is not None and limit > positions:
        raise SpecError(
            f"engine.options.max_sequence_length: {limit} is more than the {positions} positions of this model"
        )
    return limit


def logits_per_step(slots: int) -> int:
    """Of how many positions a step may want logits: those of a large vocabulary take much memory.

    Args:
        slots: how many sequences may be active at once, each of which may draw.
    """
    return max(slots, _LOGITS)
