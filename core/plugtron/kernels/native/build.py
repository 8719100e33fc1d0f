"""Compiling the native kernels with the system's compiler, once per machine, compiler and version of the sources."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from plugtron.models import cache_directory

__all__ = ["NoCompiler", "library"]

_HERE = Path(__file__).parent
_FLAGS = (
    "-std=c++17", "-O3", "-shared", "-fPIC", "-pthread",
    # What lets loops over floats be vectorised; NaN and infinity keep their meaning.
    "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-freciprocal-math",
    "-ffp-contract=fast",
)  # fmt: skip


class NoCompiler(Exception):
    """The kernels cannot be compiled here, and why."""


def library(processor: str = "native") -> Path:
    """Return the compiled kernels, from the cache if they are there.

    Args:
        processor: what they are compiled for, as compilers' -march has it.

    Raises:
        NoCompiler: there is no C++ compiler, or it fails.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        raise NoCompiler("there is no C++ compiler (looked for c++, g++, clang++ and what CXX says)")
    target = cache_directory().parent / "native" / f"{_fingerprint(compiler, processor)}.so"
    if not target.exists():
        _compile(compiler, processor, target)
    return target


def _compile(compiler: str, processor: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own, then moved: another process may be doing the same.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        command = [compiler, *_FLAGS, f"-march={processor}", str(_HERE / "step.cpp"), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NoCompiler(f"{compiler} failed: {_first_error(done.stderr)}")
        made.replace(target)


def _fingerprint(compiler: str, processor: str) -> str:
    """What the result depends on: sources, flags, compiler, and the processor that it is tuned to."""
    digest = hashlib.sha256(" ".join((*_FLAGS, processor)).encode())
    for source in sorted([*_HERE.glob("*.h"), *_HERE.glob("*.cpp")]):
        digest.update(source.read_bytes())
    done = subprocess.run([compiler, "--version"], capture_output=True)
    digest.update(done.stdout)
    digest.update(_processor().encode())
    return digest.hexdigest()[:32]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.processor() + platform.machine()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))


def _first_error(text: str) -> str:
    errors = [line for line in text.splitlines() if "error" in line]
    return errors[0] if errors else text.strip()[:200]
