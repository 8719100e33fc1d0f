"""What all launches share."""

from __future__ import annotations

from triton import knobs

__all__ = ["INTERPRETED", "power_of_two"]

#: Kernels run in Triton's interpreter, on any device, which is for tests.
INTERPRETED: bool = knobs.runtime.interpret


def power_of_two(count: int) -> int:
    """The least power of two that is not less: a range in a kernel has such a length."""
    return 1 << max(count - 1, 0).bit_length()
