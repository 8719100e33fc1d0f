"""What a block of tokens is known by: a hash of it and of all that stands before it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

__all__ = ["first_key", "next_key"]


def first_key(salt: bytes, era: int = 0) -> bytes:
    """The key of the empty prefix. What must never be shared (models, adapters, tenants) has different salts.

    Args:
        era: how often weights have changed, before which nothing is shared with what comes after.
    """
    key = hashlib.sha256(salt).digest()
    return hashlib.sha256(key + struct.pack("<q", era)).digest() if era else key


def next_key(key: bytes, block: Sequence[int]) -> bytes:
    """The key of a prefix and one more block of tokens: equal keys mean equal sequences up to there."""
    return hashlib.sha256(key + struct.pack(f"<{len(block)}q", *block)).digest()
