"""Which execution runs a decoder's steps: chosen once, when the weights are loaded."""

from __future__ import annotations

import warnings

from plugtron.contracts.execution import DecoderSource, ExecutionBackend
from plugtron.errors import PluginError, PlugtronError
from plugtron.execution.eager_backend import EagerBackend
from plugtron.execution.graph_backend import GraphBackend
from plugtron.execution.native_backend import NativeBackend

__all__ = ["choose"]


def choose(source: DecoderSource) -> ExecutionBackend:
    """Return what runs a decoder's steps on all ranks, which call this together.

    Where the options name none it is native on a CPU and graph on a GPU, and eager, with a warning, where a rank cannot
    run that.

    Raises:
        PlugtronError: what is asked for cannot be: the execution that is named, or equal bits in all steps.
    """
    options, runtime = source.options, source.runtime
    backend = options.execution or (GraphBackend() if runtime.device.type == "cuda" else NativeBackend())
    own = runtime.model.run_on_all_ranks(lambda: _why_not(backend, source))
    reason = next(filter(None, runtime.model.all_gather_json(own)), "")
    if reason and options.execution is not None:
        raise PlugtronError(f"execution {backend.name}: {reason} (accepted here: auto, eager)")
    if not reason and (backend.deterministic or not options.deterministic):
        return backend
    if options.deterministic:
        reason = reason or f"execution {backend.name} is asked for"
        raise PlugtronError(
            f"deterministic: torch's sums depend on what else is in a step, and it would run this one ({reason})"
        )
    what = "the step" if options.quantization is None else f"quantization {options.quantization.name}"
    warnings.warn(f"{what} runs through torch, and slowly: {reason}", stacklevel=2)
    return EagerBackend()


def _why_not(backend: ExecutionBackend, source: DecoderSource) -> str:
    """Ask a backend, which may be a plugin's code."""
    try:
        return backend.why_not(source)
    except PlugtronError:
        raise
    except Exception as error:
        raise PluginError(f"execution {backend.name}: why_not failed: {type(error).__name__}: {error}") from error
