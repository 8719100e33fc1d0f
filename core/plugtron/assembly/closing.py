"""What stands where an engine was: a closed model's memory is free although references to its objects exist."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.contracts.engine import Engine
from plugtron.errors import ParallelError
from plugtron.request.request import InferenceRequest, RequestOutput

__all__ = ["ClosedEngine"]


class ClosedEngine(Engine):
    """Stands where an engine was, so that nothing keeps its model in memory."""

    def add_request(self, request: InferenceRequest) -> int:
        """Refuse the request.

        Raises:
            ParallelError: always.
        """
        del request
        raise ParallelError("this model is closed: make a new one")

    def abort_request(self, request_id: int) -> bool:
        """No request is waiting or running."""
        del request_id
        return False

    def step(self) -> Sequence[RequestOutput]:
        """There is nothing to do."""
        return []

    @property
    def has_unfinished_requests(self) -> bool:
        """There are none."""
        return False

    @property
    def closed(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """It is closed."""
