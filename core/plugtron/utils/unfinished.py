"""A folder that appears under its name only when it is whole, and leaves nothing behind when it does not."""

from __future__ import annotations

import fcntl
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from plugtron.errors import SpecError

__all__ = ["unfinished_folder"]

_LOCK = ".writing"


@contextmanager
def unfinished_folder(output: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, which takes the place of `output` at the end.

    Whatever ends the writing, an interrupt or SIGTERM too, it is removed. SIGKILL leaves it; the next one to write to
    the same place removes it then, and says so.

    Raises:
        SpecError: it cannot be written.
    """
    prefix = f".{output.name[:64]}.converting-"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(output.parent, prefix)
        # Beside its place, so that moving it there is one step.
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
    except OSError as error:
        raise SpecError(f"{output} cannot be written: {error.strerror}") from None
    try:
        with _terminated_as_interrupted(), (scratch / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield scratch
            (scratch / _LOCK).unlink()
            scratch.chmod(0o755)  # mkdtemp's folders are for their owner alone
            scratch.replace(output)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise SpecError(f"{output} cannot be written: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _remove_left_behind(folder: Path, prefix: str) -> None:
    """Remove what killed processes left: no process holds its lock."""
    for other in folder.glob(f"{prefix}*"):
        with suppress(OSError), (other / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other)
            warnings.warn(f"{other} was left by a conversion that was killed: it has been removed", stacklevel=4)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM unwind the stack, as Ctrl-C does, and end with its own code."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # handlers are for the main thread to set
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
