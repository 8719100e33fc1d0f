"""Finding what makes a GPU's host wait, on a machine without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["WatchSyncs"]

#: Methods that hand numbers to Python.
_READS = frozenset(
    {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__", "nonzero"}
)
#: Operations whose result's size depends on numbers, so that the host has to learn them.
_SIZED = frozenset({"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "_local_scalar_dense"})


class WatchSyncs:
    """A context in which each thing that would wait for a device is written down in `found`."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._modes = (_Functions(self.found), _Operations(self.found))

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Functions(TorchFunctionMode):
    """Sees methods of tensors, those that never become an operation among them."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = getattr(func, "__name__", "")
        if name in _READS:
            self._found.append(f"Tensor.{name}")
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Sees what methods and functions come to."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = func.overloadpacket.__name__
        indices = args[1] if name == "index" else ()
        masks = any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)
        if name in _SIZED or masks:
            self._found.append("indexing with a mask" if masks else f"torch.{name}")
        return func(*args, **(kwargs or {}))
