"""Public names of a package that are imported when they are first asked for, not when the package is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from plugtron.errors import suggestion

__all__ = ["load_target", "loader"]


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package whose names live in the modules that `homes` gives."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get


def load_target(target: str) -> Any:
    """Import what "package.module:Name" names, or a module: "package.module".

    Raises:
        AttributeError: the module has no such name; with one that is like it.
    """
    path, _, name = target.partition(":")
    module = import_module(path)
    if not name:
        return module
    if not hasattr(module, name):
        raise AttributeError(f"module {path!r} has no {name!r}.{suggestion(name, dir(module))}")
    return getattr(module, name)
