"""The native step for ctypes: the records that both sides know, and the three functions.

The layouts are those of operation.h, row_steps.h and memory.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

__all__ = ["NativeLayer", "NativeTokens", "Op", "Program", "RowStep"]


class Op(Structure):
    """One operation; fields that its kind does not read are zero."""

    _fields_ = [
        *[(name, c_int32) for name in ("kind", "flags")],
        *[
            (f"{place}_{name}", c_int32)
            for place in ("source", "key", "value", "target")
            for name in ("buffer", "offset", "stride")
        ],
        *[(name, c_int32) for name in ("operand", "inputs", "outputs", "format")],
        *[(name, c_int32) for name in ("layer", "rotation", "temperature", "heads", "kv_heads", "head_dim", "rotary")],
        *[(name, c_int32) for name in ("first", "count")],
        *[(name, c_int32) for name in ("experts", "chosen", "score", "groups", "top_groups")],
        *[(name, c_float) for name in ("scale", "cap")],
        *[(name, c_void_p) for name in ("packed", "bias", "slopes", "sinks", "function")],
    ]


class RowStep(Structure):
    """One step of an operation on rows."""

    _fields_ = [
        *[(name, c_int32) for name in ("code", "first", "second", "target")],
        *[(name, c_int32) for name in ("offset", "stride", "width", "flags")],
        *[(name, c_float) for name in ("number", "other")],
        *[(name, c_void_p) for name in ("weight", "bias")],
    ]


class NativeLayer(Structure):
    """One layer's KV memory."""

    _fields_ = [
        *[(name, c_void_p) for name in ("keys", "values", "key_scales", "value_scales")],
        *[(name, c_int32) for name in ("window", "chunk", "stored")],
    ]


class NativeTokens(Structure):
    """A step's tokens."""

    _fields_ = [
        *[(name, c_int32) for name in ("count", "logit_count", "block_size", "table_width")],
        *[(name, c_void_p) for name in ("positions", "owners", "block_tables", "logit_index", "tables")],
    ]


class Program:
    """A list of operations, ready to be run by a team of threads.

    Args:
        path: the compiled kernels.
        threads: how many, the caller's included.
    """

    def __init__(self, path: Path, ops: Sequence[Op], steps: Sequence[RowStep], threads: int) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.plugtron_program.restype = c_void_p
        self._library.plugtron_program.argtypes = [POINTER(Op), c_int32, POINTER(RowStep), c_int32, c_int32]
        self._library.plugtron_run.argtypes = [
            c_void_p, c_int32, c_int32, POINTER(NativeLayer), POINTER(NativeTokens), POINTER(c_void_p), c_void_p,
            c_void_p, c_int32,
        ]  # fmt: skip
        self._library.plugtron_run.restype = None
        self._library.plugtron_free.argtypes = [c_void_p]
        self._library.plugtron_free.restype = None
        self._handle = self._library.plugtron_program(
            (Op * len(ops))(*ops), len(ops), (RowStep * len(steps))(*steps), len(steps), threads
        )

    def run(
        self,
        some: range,
        layers: ctypes.Array[NativeLayer] | None,
        tokens: NativeTokens,
        buffers: ctypes.Array[c_void_p],
        partial: int | None = None,
        ends: ctypes.Array[c_int64] | None = None,
        *,
        more: bool = False,
    ) -> None:
        """Run some of the operations.

        Args:
            buffers: addresses of float32 buffers, which operations name by their number.
            partial: of a float64 buffer for what ranks that share layers are to sum up.
            ends: an entry for each operation of the whole list, filled with when it was done (time.monotonic_ns).
            more: others of the same step follow soon, so that the threads need not sleep meanwhile.
        """
        self._library.plugtron_run(
            self._handle, some.start, some.stop, layers, ctypes.byref(tokens), buffers, partial, ends, more
        )

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.plugtron_free(self._handle)
