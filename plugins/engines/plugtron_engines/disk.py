"""Prefixes that the dynamic engine keeps on disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from plugtron.context import PrefixDisk, bytes_per_token
from plugtron.contracts import TextGenerationController
from plugtron.errors import SpecError
from plugtron_engines.options import DynamicOptions

__all__ = ["prefix_disk"]


def prefix_disk(options: DynamicOptions, controller: TextGenerationController) -> PrefixDisk | None:
    """Return where this rank keeps blocks between runs; None where it is not asked to.

    To be called before weights are read: of files that change meanwhile nothing is found later.

    Raises:
        SpecError: the bound is too little, or what the keys and values depend on is not known.
    """
    if options.prefix_cache_disk is None:
        return None
    origin = controller.kv_origin()
    if origin is None:
        raise SpecError(
            f"engine.options.prefix_cache_disk: {type(controller).__name__} and its model do not say what their "
            "keys and values depend on (accepted here: null)"
        )
    block = f"{origin.digest} in blocks of {options.block_size}, {controller.model.states}"
    return PrefixDisk(
        replace(origin, digest=hashlib.sha256(block.encode()).hexdigest()),
        size=bytes_per_token(controller.model) * options.block_size,
        most=options.prefix_cache_disk,
        ranks=controller.runtime.world.size,
    )
