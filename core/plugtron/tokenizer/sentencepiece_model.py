"""Writing a sentencepiece model from a plain vocabulary, so that the sentencepiece library can run it.

Format: sentencepiece_model.proto of https://github.com/google/sentencepiece, in protocol buffers' wire format. GGUF
files carry the pieces of such a model, their scores and kinds, but not the model.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = [
    "BYTE",
    "CONTROL",
    "NORMAL",
    "UNKNOWN",
    "UNUSED",
    "USER_DEFINED",
    "serialize",
    "without_prefix_space",
]

#: Kinds of pieces; GGUF uses the same numbers.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_BPE = 2


def serialize(
    pieces: Sequence[str],
    scores: Sequence[float],
    kinds: Sequence[int],
    *,
    add_dummy_prefix: bool,
    byte_fallback: bool,
    unknown_id: int,
) -> bytes:
    """Return a BPE model: spaces kept and written as ▁, no other normalization."""
    model = b"".join(
        _bytes(1, _bytes(1, piece.encode()) + _float(2, score) + _integer(3, kind))
        for piece, score, kind in zip(pieces, scores, kinds, strict=True)
    )
    trainer = _integer(3, _BPE) + _integer(35, int(byte_fallback)) + _integer(40, unknown_id)
    normalizer = _bytes(1, b"identity") + _integer(3, int(add_dummy_prefix)) + _integer(4, 0) + _integer(5, 1)
    return model + _bytes(2, trainer) + _bytes(3, normalizer)


def without_prefix_space(model: bytes) -> bytes:
    """The same model, which puts no space before a text.

    Protocol buffers merge a message that stands twice field by field, the later value winning, so appending is enough.
    """
    return model + _bytes(3, _integer(3, 0))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
