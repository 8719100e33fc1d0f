"""The native step for ctypes: the records that both sides know, and the three functions.

The layouts are those of step.cpp and memory.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

__all__ = ["NativeLayer", "NativeTokens", "Op", "Program"]


class Op(Structure):
    """One operation; fields that its kind does not read are zero."""

    _fields_ = [
        *[(name, c_int32) for name in ("kind", "source", "target", "layer", "inputs", "outputs", "format", "flags")],
        *[(name, c_int32) for name in ("stride", "offset")],
        *[(name, c_int32) for name in ("heads", "kv_heads", "head_dim", "rotary")],
        *[(name, c_float) for name in ("epsilon", "scale")],
        *[(name, c_void_p) for name in ("packed", "weight", "bias")],
    ]


class NativeLayer(Structure):
    """One layer's KV memory."""

    _fields_ = [("keys", c_void_p), ("values", c_void_p), ("window", c_int32), ("bf16", c_int32)]


class NativeTokens(Structure):
    """A step's tokens."""

    _fields_ = [
        *[(name, c_int32) for name in ("count", "logit_count", "block_size", "table_width")],
        *[(name, c_void_p) for name in ("positions", "owners", "tables", "logit_index", "cosines", "sines")],
    ]


class Program:
    """A list of operations, ready to be run by a team of threads.

    Args:
        path: the compiled kernels.
        threads: how many, the caller's included.
    """

    def __init__(self, path: Path, ops: Sequence[Op], threads: int) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.plugtron_program.restype = c_void_p
        self._library.plugtron_program.argtypes = [POINTER(Op), c_int32, c_int32]
        self._library.plugtron_run.argtypes = [
            c_void_p, c_int32, c_int32, POINTER(NativeLayer), POINTER(NativeTokens), c_void_p, c_void_p,
            c_void_p, c_void_p,
        ]  # fmt: skip
        self._library.plugtron_run.restype = None
        self._library.plugtron_free.argtypes = [c_void_p]
        self._library.plugtron_free.restype = None
        self._handle = self._library.plugtron_program((Op * len(ops))(*ops), len(ops), threads)

    def run(
        self,
        some: range,
        layers: ctypes.Array[NativeLayer] | None,
        tokens: NativeTokens,
        hidden: int,
        logits: int,
        partial: int | None = None,
        ends: ctypes.Array[c_int64] | None = None,
    ) -> None:
        """Run some of the operations.

        Args:
            hidden, logits: addresses of float32 buffers.
            partial: of a float64 buffer for what ranks that share layers are to sum up.
            ends: an entry for each operation of the whole list, filled with when it was done (time.monotonic_ns).
        """
        self._library.plugtron_run(
            self._handle, some.start, some.stop, layers, ctypes.byref(tokens), hidden, logits, partial, ends
        )

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.plugtron_free(self._handle)
