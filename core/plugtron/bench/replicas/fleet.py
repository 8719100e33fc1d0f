"""Requests that arrive at a router, and the replicas behind it, on one line of time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from plugtron.bench.replicas.replica import SimulatedReplica
from plugtron.request.request import InferenceRequest
from plugtron.routing.router import Router

__all__ = ["run_fleet"]


def run_fleet(
    replicas: Sequence[SimulatedReplica],
    router: Router,
    requests: Sequence[InferenceRequest],
    arrivals: Sequence[float],
) -> tuple[float, list[int]]:
    """Run requests to their end.

    Args:
        arrivals: seconds from the beginning, in order.

    Returns:
        Seconds from the beginning to the last token, and how many requests each replica got.
    """
    coming = deque(zip(requests, arrivals, strict=True))
    # When a step of which replica is over, or could begin; and what has ended by then.
    moments: list[tuple[float, int]] = []
    ending: list[list[InferenceRequest] | None] = [None] * len(replicas)
    got, now = [0] * len(replicas), 0.0
    while coming or moments:
        # A request that comes when a step begins is part of it.
        if coming and (not moments or coming[0][1] <= moments[0][0]):
            request, now = coming.popleft()
            replicas[0].prepare(request)  # any of them: they are alike
            chosen = router.choose(request)
            replicas[chosen].add(request, now)
            got[chosen] += 1
            if ending[chosen] is None:
                ending[chosen] = []
                heapq.heappush(moments, (now, chosen))
            continue
        now, index = heapq.heappop(moments)
        for _ in ending[index] or ():
            router.ended(index)
        ending[index] = None
        if replicas[index].is_busy:
            end, ending[index] = replicas[index].step(now)
            heapq.heappush(moments, (end, index))
    return now, got
