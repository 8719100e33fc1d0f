"""What this machine can run: Python, torch, devices, compiler, kernels, Triton."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import Any

from plugtron.diagnosis.line import Line
from plugtron.kernels.native.build import NoCompiler, instruction_set, kept_library
from plugtron.plugin.probe import Call, probe
from plugtron.spec.preflight import has_cuda

__all__ = ["describe_torch", "machine_lines"]

_CPU_TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu, or a build for your GPU"


def machine_lines() -> Iterator[Line]:
    """Look at what runs models. Torch is asked in a process of its own: it may be broken, and end it."""
    yield Line(status="ok", topic="python", text=f"{platform.python_version()}, {sys.executable}")
    (asked,) = probe([Call(target=f"{__name__}:describe_torch")])
    if asked.error is not None:
        yield Line(status="fail", topic="torch", text=asked.error, remedy=_CPU_TORCH)
    else:
        yield Line(status="ok", topic="torch", text=asked.value["version"])
        yield from _devices(asked.value)
    yield from _compiler()


def describe_torch() -> dict[str, Any]:
    """The version of torch, and what it sees."""
    import torch

    from plugtron.kernels.triton_here import why_no_triton

    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if cuda else 0)]
    return {
        "version": torch.__version__,
        "devices": [f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in devices],
        "triton": why_no_triton(torch.device("cuda", 0)) if cuda else None,
    }


def _devices(found: dict[str, Any]) -> Iterator[Line]:
    if not found["devices"]:
        if has_cuda():
            text = "there is a CUDA device, which this torch does not see"
            yield Line(status="warn", topic="devices", text=text, remedy="install a build of torch with CUDA")
        else:
            yield Line(status="ok", topic="devices", text="the CPU; no CUDA device")
        return
    for number, device in enumerate(found["devices"]):
        yield Line(status="ok", topic="devices", text=f"cuda:{number}, {device}")
    if found["triton"] is None:
        yield Line(status="ok", topic="triton", text="its kernels run")
    else:
        remedy = "pip install triton, and a C compiler; until then steps run through torch"
        yield Line(status="warn", topic="triton", text=found["triton"], remedy=remedy)


def _compiler() -> Iterator[Line]:
    try:
        yield Line(status="ok", topic="compiler", text=f"C++ for {instruction_set()}")
        kept = kept_library()
    except NoCompiler as error:
        remedy = "install g++ or clang++, or name one in CXX; until then steps run through torch, slowly"
        yield Line(status="warn", topic="compiler", text=str(error), remedy=remedy)
        return
    where = f"compiled, in {kept}" if kept else "not compiled yet: the first run does it"
    yield Line(status="ok", topic="kernels", text=where)
