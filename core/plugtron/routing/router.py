"""Which replica a request goes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum

from plugtron.request.request import InferenceRequest
from plugtron.routing.loads import Loads
from plugtron.routing.prefix_table import PrefixTable

__all__ = ["LeastLoaded", "PrefixAware", "RoundRobin", "Router", "Routing", "make_router"]

#: How many open requests, in shares of the average and on top of that, a replica may have and still be sent a prompt
#: because of its prefix: "consistent hashing with bounded loads" (Mirrokni, Thorup, Zadimoghaddam, 2016).
_SHARE, _SLACK = 1.25, 2


class Routing(StrEnum):
    """The ways to route."""

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    PREFIX = "prefix"


class Router(ABC):
    """Chooses among replicas 0 to `replicas` - 1, by what has gone through it alone. At first all are there."""

    @abstractmethod
    def choose(self, request: InferenceRequest) -> int:
        """Say which replica gets a request, which has been prepared; it is sent there. One must be there."""

    def ended(self, replica: int) -> None:
        """Take note that a request of a replica is over."""
        del replica

    @abstractmethod
    def leave(self, replica: int) -> None:
        """Choose a replica no more until it joins; its requests have been said to be over."""

    @abstractmethod
    def join(self, replica: int) -> None:
        """Choose a replica again, which holds nothing of what it was sent before it left."""


class RoundRobin(Router):
    """One after the other."""

    def __init__(self, replicas: int) -> None:
        self._there = deque(range(replicas))

    def choose(self, request: InferenceRequest) -> int:
        """The next one."""
        del request
        self._there.rotate(-1)
        return self._there[-1]

    def leave(self, replica: int) -> None:
        """One less to choose from."""
        self._there.remove(replica)

    def join(self, replica: int) -> None:
        """Its turn is next."""
        self._there.appendleft(replica)


class LeastLoaded(Router):
    """The one with the fewest open requests."""

    def __init__(self, replicas: int) -> None:
        self._loads = Loads(replicas)

    def choose(self, request: InferenceRequest) -> int:
        """The one with the fewest open requests."""
        del request
        chosen = self._loads.least
        self._loads.change(chosen, 1)
        return chosen

    def ended(self, replica: int) -> None:
        """One request less."""
        self._loads.change(replica, -1)

    def leave(self, replica: int) -> None:
        """One less to choose from."""
        self._loads.leave(replica)

    def join(self, replica: int) -> None:
        """It has no open requests."""
        self._loads.join(replica)


class PrefixAware(LeastLoaded):
    """Of those that were sent the longest beginning of the prompt the least loaded one, unless it has far too much.

    Args:
        table: the block keys of the prompts that each replica was sent.
    """

    def __init__(self, replicas: int, table: PrefixTable) -> None:
        super().__init__(replicas)
        self._table = table

    def choose(self, request: InferenceRequest) -> int:
        """A holder of the prefix, or the one with the fewest open requests, which will be one."""
        keys = self._table.keys(request.prompt_tokens, request.cache_salt)
        chosen = min(self._table.holders(keys), key=self._loads.__getitem__, default=None)
        if chosen is None or self._loads[chosen] > _SHARE * self._loads.mean + _SLACK:
            chosen = self._loads.least
        self._table.note(keys, chosen)
        self._loads.change(chosen, 1)
        return chosen

    def leave(self, replica: int) -> None:
        """One less to choose from."""
        super().leave(replica)
        self._table.forget(replica)


def make_router(routing: Routing, replicas: int, *, block_size: int, blocks: int) -> Router:
    """Make a router.

    Args:
        block_size: tokens of a block of the replicas' memory.
        blocks: how many each of them has.
    """
    if routing is Routing.ROUND_ROBIN:
        return RoundRobin(replicas)
    if routing is Routing.LEAST_LOADED:
        return LeastLoaded(replicas)
    return PrefixAware(replicas, PrefixTable(block_size=block_size, most=replicas * blocks))
