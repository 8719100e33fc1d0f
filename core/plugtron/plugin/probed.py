"""The process in which `probe` imports things."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO, Any

# What the module of every plugin needs is no cost of any one of them: options is pydantic.
import plugtron.plugin.options  # noqa: F401
from plugtron.plugin.discovery import strip_frames
from plugtron.utils.lazy import load_target

__all__ = ["main"]

_OWN_FRAMES = (
    __file__,
    load_target.__code__.co_filename,
    importlib.__file__,
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
)


def main(job: dict[str, Any]) -> None:
    """Do the jobs in order; a line of JSON for each, to what was standard output at the start."""
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    out, err = _Captured(1), _Captured(2)
    for entry in job["jobs"]:
        report = _observe(entry["target"], entry["arguments"])
        report |= {"stdout": out.take(), "stderr": err.take()}
        reports.write(f"{json.dumps(report)}\n")
    reports.flush()
    os._exit(0)  # threads and exit handlers of what was imported must not keep the process


class _Captured:
    """A descriptor whose output goes to a file: C code and subprocesses write past sys.stdout."""

    def __init__(self, descriptor: int) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process lives
        self._taken = 0
        os.dup2(self._file.fileno(), descriptor)

    def take(self) -> str:
        """What was written since it was last asked."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, AttributeError):  # closed, or replaced by what is no file
                stream.flush()
        end = os.fstat(self._file.fileno()).st_size
        data = os.pread(self._file.fileno(), end - self._taken, self._taken)
        self._taken = end
        return data.decode(errors="replace")


def _observe(target: str, arguments: list[Any] | None) -> dict[str, Any]:
    torch_before, cuda_before = "torch" in sys.modules, _cuda_runs()
    report: dict[str, Any] = {"target": target}
    begin = time.perf_counter()
    try:
        found = load_target(target)
        if arguments is not None:
            begin = time.perf_counter()
            report["value"] = found(*arguments)
    except BaseException as error:  # of anybody's code, sys.exit() included: to report it is what this is for
        report |= {"error": f"{type(error).__name__}: {error}", "traceback": strip_frames(error, *_OWN_FRAMES)}
    report["seconds"] = time.perf_counter() - begin
    report["imports_torch"] = "torch" in sys.modules and not torch_before
    report["starts_cuda"] = _cuda_runs() and not cuda_before
    return report


def _cuda_runs() -> bool:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    asked: Callable[[], bool] | None = getattr(cuda, "is_initialized", None)
    return asked is not None and asked()
