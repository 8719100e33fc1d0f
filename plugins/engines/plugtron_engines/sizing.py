"""How many blocks the dynamic engine's memory has."""

from __future__ import annotations

import socket

from plugtron.context import bytes_per_token, free_memory
from plugtron.contracts import Runtime, TextGenerationController
from plugtron.errors import SpecError
from plugtron_engines.options import DynamicOptions

__all__ = ["blocks_of_memory"]

#: Of what is free, where it is not known what else there is to come: weights, and what steps work in.
_UNKNOWN_SHARE = 0.5
#: Of what weights and steps leave of a GPU: torch cannot use the last of it for pieces of any size.
_KNOWN_SHARE = 0.95


def blocks_of_memory(options: DynamicOptions, limit: int, controller: TextGenerationController) -> int:
    """Return how many there are, equal on all ranks: as asked, or as a full batch of the longest sequences needs.

    The latter within the memory that is free: on a GPU what weights and steps leave of it, on a CPU half.

    Raises:
        SpecError: `memory` is less than a block, or what is left is; more is asked for than there is.
    """
    runtime, info = controller.runtime, controller.model
    block = bytes_per_token(info) * options.block_size
    if options.blocks is not None:
        _check_there_is(options.blocks * block, f"blocks: {options.blocks} of {block} bytes", controller)
        return options.blocks
    if options.kv_cache_memory is not None:
        _check_there_is(options.kv_cache_memory, f"kv_cache_memory: {options.kv_cache_memory} bytes", controller)
        blocks = min(runtime.model.all_gather_json(options.kv_cache_memory // block))
        if not blocks:
            memory = options.kv_cache_memory
            raise SpecError(f"engine.options.kv_cache_memory: {memory} bytes hold no block, which takes {block}")
        return blocks
    wanted = options.max_batch_size * -(-limit // options.block_size)
    there = _left(options, limit, controller)
    blocks = min(runtime.model.all_gather_json(min(wanted, int(there // block))))
    if blocks < 1:
        raise SpecError(
            f"no memory of {runtime.device} is left for keys and values ({there / 2**20:.0f} MiB, a block takes "
            f"{block / 2**20:.1f}): lower engine.options.max_step_tokens or max_batch_size, or set model.quantization"
        )
    return blocks


def _check_there_is(wanted: int, asked: str, controller: TextGenerationController) -> None:
    runtime = controller.runtime
    free = min(runtime.model.all_gather_json(free_memory(runtime.device)))
    if wanted > free:
        raise SpecError(f"engine.options.{asked} are more than {runtime.device} has free ({free / 2**30:.1f} GiB)")


def _left(options: DynamicOptions, limit: int, controller: TextGenerationController) -> float:
    """Bytes of this rank's memory that keys and values may have."""
    runtime, working = controller.runtime, None
    if runtime.device.type != "cpu":
        rows, tokens = options.max_batch_size, options.max_step_tokens
        working = runtime.model.run_on_all_ranks(lambda: controller.preload(rows, tokens, limit))
    # Each rank has its weights by now, and sees what all of them have left.
    free = free_memory(runtime.device) / _ranks_on_device(runtime)
    return free * _UNKNOWN_SHARE if working is None else (free - working) * _KNOWN_SHARE


def _ranks_on_device(runtime: Runtime) -> int:
    """How many ranks of the model share this one's memory."""
    places = runtime.model.all_gather_json([socket.gethostname(), str(runtime.device)])
    return places.count(places[runtime.model.rank])
