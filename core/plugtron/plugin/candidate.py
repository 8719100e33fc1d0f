"""Plugins before they are loaded: those that are installed, and single files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from plugtron.plugin import hookspecs

__all__ = ["Candidate", "find", "load_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plugin before it is loaded. `load` imports it, and may raise anything.

    `module` is what it is imported from, where it has a module; `requires` what its distribution requires.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    module: str | None = None
    requires: tuple[str, ...] = ()

    @classmethod
    def from_entry_point(cls, entry: EntryPoint) -> Candidate:
        """Describe an installed plugin without importing it."""
        assert entry.dist is not None
        metadata = entry.dist.metadata  # read once: each look at it reads the file again
        return cls(
            name=entry.name,
            distribution=metadata["Name"],
            version=metadata["Version"],
            load=entry.load,
            module=entry.module,
            requires=tuple(metadata.get_all("Requires-Dist") or ()),
        )

    @classmethod
    def from_file(cls, path: Path) -> Candidate:
        """Describe a file of Python as a plugin; its version says what is in it, so that ranks can compare it."""
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return cls(
            name=path.stem, distribution=path.name, version=version, load=lambda: load_file(path), module=path.stem
        )


def find() -> list[Candidate]:
    """All installed plugins, sorted, so that every process of a job sees one order."""
    candidates = map(Candidate.from_entry_point, entry_points(group=hookspecs.PROJECT))
    return sorted(candidates, key=lambda candidate: (candidate.distribution, candidate.name))


def load_file(path: Path) -> ModuleType:
    """Import a file as a module of its own name, which is how components name their targets in it.

    Raises:
        ImportError: its name is none for a module, or another module's.
    """
    name = path.stem
    if not name.isidentifier():
        raise ImportError(f"{path.name}: a plugin's file is named as a module is: letters, digits and _, then .py")
    known = sys.modules.get(name)
    spec = known.__spec__ if known is not None else find_spec(name)
    origin = None if spec is None else spec.origin
    if known is not None or spec is not None:
        if origin is not None and Path(origin).exists() and Path(origin).samefile(path):
            return import_module(name)
        raise ImportError(f"{path.name}: there is another module {name!r} ({origin or 'built in'}): rename the file")
    return _execute(name, path)


def _execute(name: str, path: Path) -> ModuleType:
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name}: a plugin's file ends in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
