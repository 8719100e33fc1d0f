"""Operations from outside: C++ sources of plugins, compiled as the kernels are, and their functions' addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

from plugtron.kernels.native.build import library

__all__ = ["functions_of"]


def functions_of(sources: Mapping[int, str]) -> dict[int, int]:
    """The addresses of functions, each given as FILE:NAME.

    Raises:
        NoCompiler: a source cannot be compiled, or does not define the function.
    """
    return {number: _address(source) for number, source in sources.items()}


def _address(source: str) -> int:
    file, _, name = source.rpartition(":")
    loaded = ctypes.CDLL(str(library(sources=(Path(file),))))
    address = ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value
    assert address is not None, "functions are somewhere"
    return address
