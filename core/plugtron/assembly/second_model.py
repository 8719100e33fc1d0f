"""Another model beside the one of a run."""

from __future__ import annotations

from plugtron.assembly.build import build_parts
from plugtron.contracts.wrapper import ModelWrapper
from plugtron.hub.location import fetch
from plugtron.parallel.runtime import Runtime
from plugtron.plugin.component import Need
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve

__all__ = ["load_wrapper"]


def load_wrapper(
    checkpoint: str, runtime: Runtime, *, quantization: str | None = None, manager: PluginManager | None = None
) -> ModelWrapper:
    """Return the wrapper of a model over the ranks, and in the dtype, of a run; its weights are not loaded yet.

    For controllers that need a second model, such as a draft model. It is to be used on all ranks alike.

    Args:
        checkpoint: an alias, a path, or a hub id.
        quantization: as `model.quantization`.
        manager: the plugins to use; by default all that are installed.

    Raises:
        SpecError, PluginError, CheckpointError: as `assemble`.
    """
    fetch(checkpoint)
    values = {"version": 1, "model": {"checkpoint": checkpoint, "quantization": quantization}}
    resolved = resolve(Source(values=values), manager or PluginManager())
    wrapper = build_parts(resolved, runtime, frozenset({Need.CHECKPOINT, Need.WRAPPER})).wrapper
    assert wrapper is not None, "it was asked for"
    return wrapper
