"""What a run is put together of, as data for the page that shows it."""

from __future__ import annotations

import copy
import os
import platform
import re
from importlib.metadata import version
from typing import Any

import torch
import yaml

from plugtron.contracts.routes import Service
from plugtron.plugin.component import Kind

__all__ = ["assembled"]

#: Options whose values nobody else is to read, by their names.
_SECRET = re.compile(r"(^|_)(keys?|tokens?|secrets?|passwords?)$")
_HIDDEN = "(hidden)"


def assembled(service: Service) -> dict[str, Any]:
    """The spec, its parts, the plugins and the machine. Nothing of it changes while the server runs."""
    return {
        "models": list(service.models),
        "max_sequence_length": service.max_sequence_length,
        "replicas": 1 if service.stats is None else service.stats.replicas,
        "version": version("plugtron"),
        "spec": yaml.safe_dump(_shown(service), sort_keys=False, allow_unicode=True, width=100),
        "components": [
            {
                "kind": offer.kind,
                "name": offer.name,
                "distribution": offer.distribution,
                "version": offer.version,
                "summary": offer.component.summary,
            }
            for offer in service.components
        ],
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "state": plugin.state,
                "error": plugin.failure.error if plugin.failure else None,
            }
            for plugin in service.plugins
        ],
        "machine": _machine(service),
    }


def _machine(service: Service) -> dict[str, Any]:
    runtime = service.runtime
    device = str(runtime.device)
    if runtime.device.type == "cuda":
        properties = torch.cuda.get_device_properties(runtime.device)
        device = f"{device}, {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return {
        "device": device,
        "dtype": str(runtime.dtype).removeprefix("torch."),
        "ranks": {
            "all": runtime.world.size,
            "tensor": runtime.tensor.size,
            "pipeline": runtime.pipeline.size,
            "data": runtime.data.size,
        },
        "threads": runtime.threads,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _shown(service: Service) -> dict[str, Any]:
    """The spec without its prompts, and without secrets in the options of endpoints and observers."""
    spec = copy.deepcopy(dict(service.settings))
    spec.pop("prompts", None)
    _hide(spec.get("plugins", {}).get("options"))
    _hide(spec.get("serve", {}).get(Kind.ROUTES))
    return spec


def _hide(value: Any) -> None:
    """Cover values whose names say that they are secret, at any depth."""
    if isinstance(value, list):
        for each in value:
            _hide(each)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if _SECRET.search(str(name).lower()) and inner is not None:
                value[name] = _HIDDEN
            else:
                _hide(inner)
