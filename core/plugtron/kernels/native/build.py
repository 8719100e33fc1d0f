"""Compiling the native kernels with the system's compiler, once per machine, compiler and version of the sources."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from plugtron.utils.locked import locked
from plugtron.utils.private_files import derived_directory, make_private, open_regular, why_not_private

__all__ = ["NoCompiler", "instruction_set", "kept_library", "library"]

_HERE = Path(__file__).parent
_FLAGS = (
    "-std=c++17", "-O3", "-shared", "-fPIC", "-pthread",
    # What lets loops over floats be vectorized; NaN and infinity keep their meaning, and no sum its order.
    "-fno-math-errno", "-fno-trapping-math",
    # A product is added in one rounding only where the sources say so: a row's bits are not the compiler's choice.
    "-ffp-contract=off",
)  # fmt: skip


class NoCompiler(Exception):
    """The kernels cannot be compiled here, and why."""


def library(processor: str = "native", sources: Sequence[Path] = ()) -> Path:
    """Return the compiled kernels, or those of a plugin, from the cache if they are there.

    The environment's CXX and CXXFLAGS mean what they mean to make. Where the cache cannot be written, the kernels are
    compiled for this process alone, with a warning.

    Args:
        processor: what they are compiled for, as compilers' -march has it.
        sources: C++ files, which may include the headers of the kernels; none: the kernels themselves.

    Raises:
        NoCompiler: there is no C++ compiler, or it fails.
    """
    sources = sources or sorted(_HERE.glob("*.cpp"))
    command = _command(processor)
    name = f"{_fingerprint(command, sources)}.so"
    folder = derived_directory() / "native"
    try:
        folder = _folder(folder)
        if not _is_whole(folder / name):
            # Ranks of a job start together: one compiles, and the others wait.
            with locked(folder / f"{name}.lock") as waited:
                if not (waited and _is_whole(folder / name)):
                    _compile(command, sources, folder / name)
    except OSError as error:  # a full disk, or nowhere to write at all
        raise NoCompiler(f"the kernels cannot be compiled: {error}") from None
    return folder / name


def kept_library() -> Path | None:
    """Where the kernels are kept for this machine; None while they are not compiled.

    Raises:
        NoCompiler: there is no C++ compiler.
    """
    path = derived_directory() / "native" / f"{_fingerprint(_command('native'), sorted(_HERE.glob('*.cpp')))}.so"
    return path if path.exists() else None


def instruction_set() -> str:
    """What the kernels are written in on this machine: AVX-512 with VNNI, AVX2, or plain C++.

    Raises:
        NoCompiler: there is no C++ compiler, or it fails.
    """
    done = subprocess.run(
        [*_command("native"), "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoCompiler(f"the compiler failed: {_first_error(done.stderr)}")
    defined = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("#define")}
    # The same conditions as in lanes.h.
    if {"__AVX512F__", "__AVX512BW__", "__AVX512VNNI__", "__AVX512VL__"} <= defined:
        return "AVX-512 with VNNI"
    return "AVX2" if {"__AVX2__", "__FMA__", "__F16C__"} <= defined else "plain C++"


def _command(processor: str) -> list[str]:
    own = shlex.split(os.environ.get("CXXFLAGS", ""))
    return [*_compiler(), *_FLAGS, f"-march={processor}", f"-I{_HERE}", *own]


def _folder(kept: Path) -> Path:
    """The folder to keep compiled kernels in. What is in it is run as code: others must not be able to write there."""
    if not _writable(kept):
        return _own_folder(f"{kept} cannot be written")
    reason = why_not_private(kept)
    return kept if reason is None else _own_folder(reason)


@cache  # one for all that ask in this process, or each of them would compile
def _own_folder(reason: str) -> Path:
    """A folder that goes with this process."""
    warnings.warn(f"{reason}: the native kernels are compiled at every start", stacklevel=4)
    folder = Path(tempfile.mkdtemp(prefix="plugtron-native-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_whole(library: Path) -> bool:
    """Whether a library is there, as it was compiled here: a damaged one would end the process that runs it."""
    digest = _digest_file(library)
    if not library.exists() and not library.is_symlink():
        return False
    reason = why_not_private(library) or why_not_private(digest)
    try:
        if reason is None and digest.read_text() == hashlib.sha256(_read(library)).hexdigest():
            return True
    except (OSError, ValueError):
        pass  # no file, or no digest beside it
    warnings.warn(f"{reason or f'{library} is damaged'}: the native kernels are compiled anew", stacklevel=3)
    return False


def _digest_file(library: Path) -> Path:
    return library.with_suffix(".sha256")


def _read(file: Path) -> bytes:
    with os.fdopen(open_regular(file), "rb") as handle:
        return handle.read()


def _compiler() -> list[str]:
    """The compiler's command: what CXX says, which may be several words ("ccache g++"), or the system's."""
    said = shlex.split(os.environ.get("CXX", ""))
    names = [said[0]] if said else ["c++", "g++", "clang++"]
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        raise NoCompiler(f"there is no C++ compiler (looked for {'CXX=' if said else ''}{', '.join(names)})")
    return [found, *said[1:]]


def _writable(folder: Path) -> bool:
    try:
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _compile(command: list[str], sources: Sequence[Path], target: Path) -> None:
    # Under a name of its own, then moved: another process may be doing the same.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        objects = [(source, Path(folder) / f"{source.stem}.o") for source in sources]
        _run_all([[*command, "-c", str(source), "-o", str(compiled)] for source, compiled in objects])
        _run_all([[*command, *(str(compiled) for _, compiled in objects), "-o", str(made)]])
        for file, final in ((made, target), (_with_digest(made), _digest_file(target))):
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
            file.replace(final)


def _with_digest(library: Path) -> Path:
    """Write the digest of a library beside it."""
    library.chmod(0o700)
    digest = _digest_file(library)
    digest.write_text(hashlib.sha256(library.read_bytes()).hexdigest())
    digest.chmod(0o600)
    return digest


def _run_all(commands: list[list[str]]) -> None:
    """Run compilers side by side.

    Raises:
        NoCompiler: one fails.
    """
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    errors = [process.communicate()[1] for process in running]
    for process, command, text in zip(running, commands, errors, strict=True):
        if process.returncode:
            raise NoCompiler(f"{shlex.join(command[:1])} failed: {_first_error(text)}")


def _fingerprint(command: list[str], sources: Sequence[Path]) -> str:
    """What the result depends on: sources, flags, compiler, and the processor that it is tuned to."""
    digest = hashlib.sha256(shlex.join(command).encode())
    for source in sorted([*_HERE.glob("*.h"), *sources]):
        digest.update(source.read_bytes())
    # Another version of a compiler is another file; to ask it would take longer than all the rest.
    for word in command:
        if (program := shutil.which(word)) is not None:
            status = Path(program).stat()
            digest.update(f"{Path(program).resolve()} {status.st_size} {status.st_mtime_ns}".encode())
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
