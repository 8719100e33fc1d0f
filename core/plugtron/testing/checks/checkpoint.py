"""What a checkpoint reader has to keep to."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import torch

from plugtron.contracts import CheckpointReader, ModelDescription
from plugtron.errors import CheckpointError
from plugtron.plugin.component import Kind
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["CheckpointChecks"]

_READ_FOR_DAMAGE = 20
_PIECE = 32768


class CheckpointChecks(ComponentChecks):
    """Every reader passes these. A subclass writes a checkpoint in the reader's format."""

    kind: ClassVar[Kind] = Kind.CHECKPOINT

    @classmethod
    @abstractmethod
    def write(cls, folder: Path) -> Path:
        """Write a small checkpoint into an empty folder; return what a spec would name: the folder, or a file in it."""

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[type[CheckpointReader]]:
        """The reader's class."""
        del model
        yield host.find(cls.kind, cls.component).load()

    def test_describes(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """Headers say what a checkpoint holds."""
        path = self.write(tmp_path)
        found = plugtron_subject.describe(path)
        if not isinstance(found, ModelDescription):
            refuse(f"describe returns {found!r} for a checkpoint of its format, not a ModelDescription")
        if not found.format or not found.architecture:
            refuse("describe leaves format or architecture empty: they select the wrapper")

    def test_leaves_others_alone(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """What is not its format is None, without an error: the next reader is asked."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "text.txt").write_text("no checkpoint")
        (tmp_path / "empty.dat").write_bytes(b"")
        for name in ("folder", "text.txt", "empty.dat", "not there"):
            try:
                found = plugtron_subject.describe(tmp_path / name)
            except Exception as error:
                refuse(f"describe raises {type(error).__name__} for {name!r}, which is not its format: return None")
            if found is not None:
                refuse(f"describe takes {name!r} for its format")

    def test_tensors(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """Tensors are read in the shapes that headers say."""
        reader = plugtron_subject(self.write(tmp_path))
        if not reader.tensors:
            refuse("tensors is empty")
        for name, info in reader.tensors.items():
            tensor = reader.read(name)
            if tuple(tensor.shape) != tuple(info.shape):
                refuse(f"{name} is {tuple(tensor.shape)}, tensors says {tuple(info.shape)}")
            if tensor.device.type != "cpu" or not tensor.is_floating_point():
                refuse(f"{name} is read as {tensor.dtype} on {tensor.device}: floating point on the CPU is expected")
            if not info.file.exists():
                refuse(f"tensors says that {name} is in {info.file}, which is not there")

    def test_parts_equal_the_whole(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """A part of a tensor is what the whole has there: ranks read their shares."""
        reader = plugtron_subject(self.write(tmp_path))
        for name, info in reader.tensors.items():
            whole = reader.read(name)
            for part in _parts(info.shape):
                if not torch.equal(reader.read(name, part), whole[part]):
                    refuse(f"{name}: the part {part} is not what the whole tensor has there")

    def test_reads_no_more_than_asked(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """Describing reads headers, and a row takes no more than its own bytes, as a rank's share does.

        Bytes that a process reads are counted where the system counts them; what is mapped into memory is not.
        """
        path = self.write(tmp_path)
        stored = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
        plugtron_subject.describe(path)  # once before, for what it imports
        before = _bytes_read()
        plugtron_subject.describe(path)
        self._compare(_bytes_read() - before, stored, 1, "describe reads")
        reader = plugtron_subject(path)
        matrices = {name: info.shape for name, info in reader.tensors.items() if len(info.shape) > 1}
        for name in matrices:
            reader.read(name, (slice(0, 1),))  # once before, as above
        before = _bytes_read()
        for name in matrices:
            reader.read(name, (slice(0, 1),))
        self._compare(_bytes_read() - before, stored, len(matrices), f"{len(matrices)} single rows take")

    def _compare(self, read: int, stored: int, times: int, what: str) -> None:
        # Each time a header may be read again, and a file in pieces of some KiB.
        if read > stored // 2 + times * _PIECE:
            refuse(f"{what} {read} bytes of files that have {stored}")

    def test_refuses_what_is_damaged(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """A file that ends early is refused with a CheckpointError, and nothing else is raised."""
        whole = tmp_path / "whole"
        whole.mkdir()
        path = self.write(whole)
        for file in sorted(each for each in whole.rglob("*") if each.is_file()):
            for keep in (0.0, 0.5, 0.95):
                damaged = tmp_path / "damaged"
                shutil.rmtree(damaged, ignore_errors=True)
                shutil.copytree(whole, damaged)
                data = file.read_bytes()
                (damaged / file.relative_to(tmp_path / "whole")).write_bytes(data[: int(len(data) * keep)])
                self._try(
                    plugtron_subject, damaged / path.relative_to(tmp_path / "whole"), f"{file.name} cut to {keep:.0%}"
                )

    def _try(self, reader_class: type[CheckpointReader], path: Path, what: str) -> None:
        try:
            with suppress(CheckpointError):
                if reader_class.describe(path) is None:
                    return
                reader = reader_class(path)
                for name in list(reader.tensors)[:_READ_FOR_DAMAGE]:
                    reader.read(name)
        except Exception as error:
            refuse(f"{what}: {type(error).__name__} is raised, not a CheckpointError: {error}")

    def test_names_what_is_not_there(self, plugtron_subject: type[CheckpointReader], tmp_path: Path) -> None:
        """A tensor that is not there is an error, never zeros."""
        reader = plugtron_subject(self.write(tmp_path))
        try:
            reader.read("no.such.tensor")
        except (CheckpointError, LookupError):
            return
        refuse("read returns something for a tensor that is not there")


def _bytes_read() -> int:
    """How many bytes this process has read so far; 0 where the system does not say."""
    counts = Path("/proc/self/io")
    return int(counts.read_text().split()[1]) if counts.exists() else 0


def _parts(shape: tuple[int, ...]) -> list[Any]:
    """Parts of a tensor: its beginning, its end, one row, the middle of the last axis."""
    if not shape:
        return []
    rows = shape[0]
    found: list[tuple[slice, ...]] = [(slice(0, (rows + 1) // 2),), (slice(rows // 2, rows),), (slice(rows - 1, rows),)]
    if len(shape) > 1:
        found.append((slice(0, rows), slice(shape[1] // 4, (3 * shape[1] + 3) // 4)))
    return found
