"""What importing something costs and does, tried in a fresh process: time, torch, CUDA, output, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "Probe", "probe"]

#: The child looks for modules where this process does: what is found here is found there.
_START = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
    "from plugtron.plugin.probed import main; main(job)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function to be called in the process: "package.module:name", with arguments that JSON can carry."""

    target: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one import, or one call, did.

    `seconds` are those of the import, or of the call, whose function is imported before; so are plugtron's plugin API
    and pydantic. `imports_torch`
    and `starts_cuda`: it was this one that did so, and none before it in the same process. `stdout` and `stderr`: all
    that was written to the two descriptors, by C code and subprocesses, too. `error` is "Type: text", None where there
    was none; the `traceback` has no frames of plugtron's own at its top. `value` is what a call returned.
    """

    target: str
    seconds: float = 0.0
    imports_torch: bool = False
    starts_cuda: bool = False
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    traceback: str = ""
    value: Any = None


def probe(targets: Sequence[str | Call], *, timeout: float = 120.0) -> list[Probe]:
    """Import targets in one fresh process, one after the other.

    Args:
        targets: "package.module", "package.module:name", or calls.
        timeout: seconds for all of them.

    Returns:
        A report for each, in order. For one that takes the process down, the report says how it ended; those behind it
        are tried in another process.
    """
    calls = [target if isinstance(target, Call) else None for target in targets]
    names = [target.target if isinstance(target, Call) else target for target in targets]
    found: list[Probe] = []
    while len(found) < len(targets):
        first = len(found)
        jobs = [
            {"target": name, "arguments": None if call is None else list(call.arguments)}
            for name, call in zip(names[first:], calls[first:], strict=True)
        ]
        reports, ending = _run({"path": sys.path, "jobs": jobs}, timeout)
        found += [Probe(**json.loads(line)) for line in reports]
        if len(found) < len(targets):
            found.append(Probe(target=names[len(found)], error=ending))
    return found


def _run(job: dict[str, Any], timeout: float) -> tuple[list[str], str]:
    """Run a job; return the reports that came, a line each, and how the process ended."""
    child = subprocess.Popen(
        [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        reports, said = child.communicate(f"{json.dumps(job)}\n", timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        reports, _ = child.communicate()
        return reports.splitlines(), f"it was not done after {timeout:g} seconds"
    code = child.returncode
    ending = f"it ended the process with {f'signal {-code}' if code < 0 else f'code {code}'}"
    # What a process says that could not even begin; once it has begun, what it writes is captured.
    return reports.splitlines(), f"{ending}{f': {said.strip()}' if said.strip() else ''}"
