"""Ending with the process that started this one, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["LAUNCHER", "end_with_parent"]

#: The process id of our own launcher: while a rank imports, it may end, and another process become the parent.
LAUNCHER = "PLUGTRON_LAUNCHER"

_SET_PARENT_DEATH_SIGNAL = 1


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends: one that is killed cannot do so itself. On Linux only."""
    if sys.platform != "linux":
        return
    parent = int(os.environ.get(LAUNCHER) or os.getppid())
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)
