"""Which replica a request goes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum

from plugtron.bench.replicas.loads import Loads
from plugtron.bench.replicas.prefix_table import PrefixTable
from plugtron.request.request import InferenceRequest

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
    """Chooses among replicas 0 to `replicas` - 1, by what has gone through it alone."""

    @abstractmethod
    def choose(self, request: InferenceRequest) -> int:
        """Say which replica gets a request, which has been prepared; it is sent there."""

    def ended(self, replica: int) -> None:
        """Take note that a request of a replica is over."""
        del replica


class RoundRobin(Router):
    """One after the other."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._next = -1

    def choose(self, request: InferenceRequest) -> int:
        """The next one."""
        del request
        self._next = (self._next + 1) % self._replicas
        return self._next


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


class PrefixAware(Router):
    """Of those that were sent the longest beginning of the prompt the least loaded one, unless it has far too much.

    Args:
        table: the block keys of the prompts that each replica was sent.
    """

    def __init__(self, replicas: int, table: PrefixTable) -> None:
        self._loads = Loads(replicas)
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

    def ended(self, replica: int) -> None:
        """One request less."""
        self._loads.change(replica, -1)


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
