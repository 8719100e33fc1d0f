"""Stop texts in a stream: found wherever they begin, cut exactly, never leaked."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["StopMatcher"]


class StopMatcher:
    """Passes text on, except for a tail that could still become one of `stops`.

    Args:
        keep: the stop that is met stays in the text.
    """

    def __init__(self, stops: Sequence[str], *, keep: bool = False) -> None:
        self._stops = tuple(stops)
        self._keep = keep
        self._held = ""

    def feed(self, text: str, *, active: bool) -> tuple[str, str | None]:
        """Add text; return what may be shown, and the stop that was met. While not `active`, nothing stops."""
        if not self._stops:
            return text, None
        self._held += text
        if not active:
            return self.flush(), None
        if met := self._earliest():
            position, stop = met
            shown, self._held = self._held[: position + len(stop) * self._keep], ""
            return shown, stop
        keep = self._possible_beginning()
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown, None

    def flush(self) -> str:
        """Return what was held back: nothing more will come."""
        shown, self._held = self._held, ""
        return shown

    def _earliest(self) -> tuple[int, str] | None:
        """The stop that begins first; of two that begin together, the longer."""
        met = [(position, -len(stop), stop) for stop in self._stops if (position := self._held.find(stop)) >= 0]
        if not met:
            return None
        position, _, stop = min(met)
        return position, stop

    def _possible_beginning(self) -> int:
        """How many characters at the end could be the beginning of a stop."""
        longest = min(max(map(len, self._stops)) - 1, len(self._held))
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
