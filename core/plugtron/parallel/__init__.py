"""Ranks, devices, and layers that ranks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.parallel.group import Group
    from plugtron.parallel.heartbeat import Heartbeat
    from plugtron.parallel.layers import (
        ColumnParallelLinear,
        LinearMethod,
        Part,
        RowParallelLinear,
        Rows,
        ShardedModule,
        VocabParallelEmbedding,
        divide,
    )
    from plugtron.parallel.runtime import Runtime
    from plugtron.parallel.world import World

__all__ = [
    "ColumnParallelLinear",
    "Group",
    "Heartbeat",
    "LinearMethod",
    "Part",
    "RowParallelLinear",
    "Rows",
    "Runtime",
    "ShardedModule",
    "VocabParallelEmbedding",
    "World",
    "divide",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Heartbeat": "plugtron.parallel.heartbeat",
    "ColumnParallelLinear": "plugtron.parallel.layers",
    "Group": "plugtron.parallel.group",
    "LinearMethod": "plugtron.parallel.layers",
    "Part": "plugtron.parallel.layers",
    "RowParallelLinear": "plugtron.parallel.layers",
    "Rows": "plugtron.parallel.layers",
    "Runtime": "plugtron.parallel.runtime",
    "ShardedModule": "plugtron.parallel.layers",
    "VocabParallelEmbedding": "plugtron.parallel.layers",
    "World": "plugtron.parallel.world",
    "divide": "plugtron.parallel.layers",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
