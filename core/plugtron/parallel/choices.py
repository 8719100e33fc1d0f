"""What a runtime may be asked for by name."""

from __future__ import annotations

from typing import Literal

__all__ = ["ExecutionChoice", "KVChoice", "Quantization"]

#: How the weights of linear layers are held.
Quantization = Literal["int8", "int4", "fp8", "as_stored"]
#: What keys and values are held in.
KVChoice = Literal["auto", "fp8"]
#: How the steps of a decoder are run.
ExecutionChoice = Literal["auto", "eager", "graph", "native"]
