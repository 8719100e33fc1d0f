"""What all launches share."""

from __future__ import annotations

from triton import knobs

__all__ = ["FUSED", "INTERPRETED", "power_of_two"]

#: Kernels run in Triton's interpreter, on any device, which is for tests.
INTERPRETED: bool = knobs.runtime.interpret
#: A product and a sum are one instruction. Triton 3.9 warns where this is left open, and 3.10 leaves it off.
FUSED = {"enable_fp_fusion": True}


def power_of_two(count: int) -> int:
    """The least power of two that is not less: a range in a kernel has such a length."""
    return 1 << max(count - 1, 0).bit_length()
