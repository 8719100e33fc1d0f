"""llama.cpp's server, within this process."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from plugtron.errors import CheckpointError

__all__ = ["Server"]

# Not `import xllamacpp`: it has no types. Where it is missing, plugtron says how to install it.
_xllamacpp: Any = import_module("xllamacpp")
#: A slot's memory is a multiple of this.
_CELLS = 256


class Server:
    """Completes ids, for several callers at once.

    Args:
        slots: how many calls are computed together.
        limit: ids of a prompt and its completion together.

    Raises:
        CheckpointError: llama.cpp cannot load the file.
    """

    def __init__(self, file: Path, *, slots: int, limit: int, threads: int, gpu_layers: int) -> None:
        params = _xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_parallel = slots
        params.n_ctx = slots * -(-limit // _CELLS) * _CELLS
        params.n_gpu_layers = gpu_layers
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup = False
        params.verbosity = -1
        try:
            self._server = _xllamacpp.Server(params)
        except Exception as error:
            raise CheckpointError(f"{file}: llama.cpp cannot load it: {error}") from error
        # It is in this process: no proxy, whatever the environment says.
        self._opener = build_opener(ProxyHandler({}))
        # A server that is let go of before its threads run waits for ever: after an answer they do.
        reply = self.complete({"prompt": [0], "n_predict": 1})
        if "error" in reply:
            raise CheckpointError(f"{file}: llama.cpp cannot run it: {reply['error'].get('message', reply['error'])}")

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to a request for a completion, or {"error": ...}.

        Over HTTP: what xllamacpp calls directly is the interface that leaves ids out.
        """
        url, body = f"{self._server.listening_address}/completion", json.dumps(request).encode()
        try:
            with self._opener.open(Request(url, body, {"Content-Type": "application/json"})) as reply:
                return json.load(reply)
        except HTTPError as error:
            return json.load(error)
