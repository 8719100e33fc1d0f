"""Chains of stages with their draw on a CPU: what chain.cpp does, for torch's tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, c_int32, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor

from plugtron.contracts.row_stage import RowOp, RowStage
from plugtron.kernels.chain import PreparedStage

__all__ = ["NativeChain"]

#: How many numbers an operation reads, and which tables.
_NEEDS: Mapping[RowOp, tuple[int, tuple[str, ...]]] = {
    RowOp.ALLOW: (0, ("flags",)),
    RowOp.MASK: (0, ("ids",)),
    RowOp.ADD: (0, ("ids", "values")),
    RowOp.PENALIZE: (3, ("ids", "values")),
    RowOp.PENALIZE_REPEATED: (4, ("ids", "values", "flags")),
    RowOp.MASK_REPEATED: (1, ("ids", "values")),
    RowOp.DYNAMIC_TEMPERATURE: (3, ()),
    RowOp.EXCLUDE_TOP: (2, ()),
}
_COUNTING = (RowOp.PENALIZE_REPEATED, RowOp.MASK_REPEATED)


class _Stage(Structure):
    """A stage as the kernels read it."""

    _fields_ = [
        *[(name, c_int32) for name in ("op", "number_count")],
        *[(name, c_int64) for name in ("table_rows", "length", "value_width", "flag_count")],
        *[(name, c_void_p) for name in ("numbers", "rows", "ids", "values", "counts", "flags", "result")],
    ]


class _Batch(Structure):
    _fields_ = [
        *[(name, c_int64) for name in ("rows", "count", "stride")],
        *[(name, c_void_p) for name in ("logits", "seeds", "positions", "greedy", "tokens", "left")],
    ]


class NativeChain:
    """A team of threads, and what each works in. See plugtron.kernels.chain for what is computed.

    Args:
        path: the compiled kernels.
        threads: how many, the caller's included.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.plugtron_chain.argtypes, self._library.plugtron_chain.restype = [c_int32], c_void_p
        self._library.plugtron_chain_free.argtypes, self._library.plugtron_chain_free.restype = [c_void_p], None
        self._run = self._library.plugtron_chain_run
        self._run.argtypes, self._run.restype = [c_void_p, POINTER(_Batch), POINTER(_Stage), c_int32], None
        self._handle = self._library.plugtron_chain(threads)

    def prepare(self, stage: RowStage, rows: int, vocab_size: int) -> PreparedStage:
        """Return a stage for so many rows as `run` takes it.

        Raises:
            ValueError: it is not of the form that its operation has.
        """
        count, tables = _NEEDS.get(stage.op, (1, ()))
        numbers = _checked(stage, "numbers", (rows, count), torch.float32) if count else None
        ids = _checked(stage, "ids", (None, None), torch.int64) if "ids" in tables else None
        dtype, width = torch.float32, None if ids is None else ids.shape[1]
        if stage.op in _COUNTING:
            dtype = torch.int64
        if stage.op is RowOp.PENALIZE:
            width = vocab_size
        values = _checked(stage, "values", (None, width), dtype) if "values" in tables else None
        flags = _checked(stage, "flags", (None, None), torch.bool, torch.uint8) if "flags" in tables else None
        given = [table for table in (ids, values, flags) if table is not None]
        owners = None if stage.rows is None else _checked(stage, "rows", (rows,), torch.int64)
        result = None if stage.result is None else _checked(stage, "result", (rows,), torch.float32)
        least = min((len(table) for table in given), default=0)
        if owners is None and given and least < rows:
            raise ValueError(f"{stage.op.name}: tables have {least} rows, for {rows}")
        counting = stage.op in _COUNTING
        read = _Stage(
            stage.op, count, least, 0 if ids is None else ids.shape[1], 0 if values is None else values.shape[1],
            0 if flags is None else flags.shape[1], _address(numbers), _address(owners), _address(ids),
            None if counting else _address(values), _address(values) if counting else None, _address(flags),
            _address(result),
        )  # fmt: skip
        return PreparedStage(stage, read)

    def run(
        self,
        logits: Tensor,
        stages: Sequence[PreparedStage],
        seeds: Tensor,
        positions: Tensor,
        greedy: Tensor,
        left: Tensor | None = None,
    ) -> Tensor:
        """Return one id per row, [N] int64."""
        rows, count = logits.shape
        logits = logits.float()
        logits = logits if logits.stride(1) == 1 else logits.contiguous()
        positions = positions.contiguous()
        tokens = torch.empty(rows, dtype=torch.int64)
        batch = _Batch(
            rows, count, logits.stride(0), logits.data_ptr(), seeds.data_ptr(), positions.data_ptr(),
            greedy.data_ptr(), tokens.data_ptr(), None if left is None else left.data_ptr(),
        )  # fmt: skip
        self._run(
            self._handle, ctypes.byref(batch), (_Stage * len(stages))(*[each.read for each in stages]), len(stages)
        )
        return tokens

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.plugtron_chain_free(self._handle)


def _checked(stage: RowStage, name: str, shape: tuple[int | None, ...], *dtypes: torch.dtype) -> Tensor:
    """A tensor of a stage, which kernels are about to read without another look."""
    tensor: Tensor | None = getattr(stage, name)
    if tensor is None:
        raise ValueError(f"{stage.op.name}: has no {name}")
    fits = len(shape) == tensor.dim() and all(
        wanted in (None, size) for wanted, size in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.dtype not in dtypes or not tensor.is_contiguous() or tensor.device.type != "cpu":
        wanted = " x ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(
            f"{stage.op.name}: {name} must be {wanted}, {dtypes[0]}, in one piece on the CPU "
            f"(got {tuple(tensor.shape)}, {tensor.dtype})"
        )
    return tensor


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
