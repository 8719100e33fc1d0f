"""What makes plugtron's own quantization methods from a spec."""

from __future__ import annotations

from plugtron.quantization.policy import AsStored, Float8, Grouped

__all__ = ["as_stored", "fp8", "int4", "int8"]


def int8(parts: object, options: object) -> Grouped:
    """8 bits in groups."""
    del parts, options
    return Grouped(8)


def int4(parts: object, options: object) -> Grouped:
    """4 bits in groups."""
    del parts, options
    return Grouped(4)


def fp8(parts: object, options: object) -> Float8:
    """e4m3."""
    del parts, options
    return Float8()


def as_stored(parts: object, options: object) -> AsStored:
    """Blocks as they are in a file."""
    del parts, options
    return AsStored()
