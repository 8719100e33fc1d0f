"""Running requests as they arrive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from plugtron.contracts.engine import Steps
from plugtron.request.request import InferenceRequest

__all__ = ["one_by_one", "replay"]


def replay(engine: Steps, requests: Sequence[InferenceRequest], arrivals: Sequence[float] | None = None) -> float:
    """Run requests to their end, each added when its time has come.

    Args:
        arrivals: seconds from the beginning, in order; None: all are there at once.

    Returns:
        Seconds from the first arrival to the last token.
    """
    coming = deque(zip(requests, arrivals or [0.0] * len(requests), strict=True))
    begin = time.perf_counter()
    while coming or engine.has_unfinished_requests:
        while coming and begin + coming[0][1] <= time.perf_counter():
            request, arrival = coming.popleft()
            engine.add_request(request)
            # It has waited since it arrived, not since the step that was running then was over.
            request.arrival = begin + arrival
        if engine.has_unfinished_requests:
            engine.step()
        elif coming:
            time.sleep(max(begin + coming[0][1] - time.perf_counter(), 0))
    return time.perf_counter() - begin


def one_by_one(engine: Steps, requests: Sequence[InferenceRequest]) -> float:
    """Run requests one after the other; return the seconds that they took together."""
    return sum(replay(engine, [request]) for request in requests)
