"""A model as a worker of NVIDIA Dynamo: token ids in, token ids out. Runs outside of plugtron, over its public names.

    pip install plugtron ai-dynamo-runtime
    python worker.py run.yaml --endpoint dynamo.plugtron.generate --register FOLDER

Dynamo's frontend makes ids of texts with the files of FOLDER (a Hugging Face folder, as `plugtron convert` writes it),
chooses a worker, and calls the endpoint; without --register, clients of Dynamo call it themselves. Workers are found
as Dynamo is told: DYN_DISCOVERY_BACKEND (etcd, kubernetes, file) and DYN_REQUEST_PLANE (tcp, nats).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import yaml
from dynamo.llm import ModelInput, ModelType, WorkerType, register_model  # pyright: ignore[reportMissingImports] - the example's own
from dynamo.runtime import DistributedRuntime  # pyright: ignore[reportMissingImports] - the example's own

from plugtron import SamplingParams
from plugtron.assembly import assemble
from plugtron.engine import AsyncEngine
from plugtron.request import InferenceRequest
from plugtron.spec import spec_of

#: What Dynamo calls otherwise.
NAMES = {"stop_token_ids_hidden": "stop_token_ids"}


class Worker:
    """Answers Dynamo's requests.

    Args:
        defaults: what requests leave out.
    """

    def __init__(self, engine: AsyncEngine, defaults: SamplingParams) -> None:
        self._engine = engine
        self._defaults = defaults

    async def generate(self, request: Mapping[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield ids as they are drawn; what a request asks for that the model's chain does not know is an error."""
        params = parameters(request).over(self._defaults)
        own = InferenceRequest(prompt=list(request["token_ids"]), params=params)
        async with aclosing(self._engine.stream(own)) as outputs:
            async for output in outputs:
                if own.error is not None:
                    raise ValueError(own.error)
                if context is not None and context.is_stopped():
                    return  # which frees its memory before the next step
                ended = {} if output.finish_reason is None else {"finish_reason": str(output.finish_reason)}
                yield {"token_ids": list(output.tokens), **ended}


def parameters(request: Mapping[str, Any]) -> SamplingParams:
    """Dynamo's options as plugtron names them; those that are null are left out."""
    asked: dict[str, Any] = {**(request.get("sampling_options") or {}), **(request.get("stop_conditions") or {})}
    return SamplingParams.from_flat(
        {NAMES.get(name, name): value for name, value in asked.items() if value is not None and value != []}
    )


async def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("spec", help="of a run; its engine should be dynamic")
    parser.add_argument("--endpoint", default="dynamo.plugtron.generate", help="namespace.component.endpoint")
    parser.add_argument("--register", metavar="FOLDER", help="tell frontends of the model, with this tokenizer")
    asked = parser.parse_args()
    loop = asyncio.get_running_loop()
    backend, plane = os.environ.get("DYN_DISCOVERY_BACKEND", "etcd"), os.environ.get("DYN_REQUEST_PLANE", "tcp")
    runtime = DistributedRuntime(loop, backend, plane)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runtime.shutdown)
    session = await asyncio.to_thread(lambda: assemble(spec_of(yaml.safe_load(Path(asked.spec).read_text()))))
    with session, AsyncEngine(session) as engine:
        endpoint = runtime.endpoint(asked.endpoint)
        if asked.register is not None:
            kinds = ModelType.Chat | ModelType.Completions
            await register_model(ModelInput.Tokens, kinds, endpoint, asked.register, worker_type=WorkerType.Aggregated)
        worker = Worker(engine, SamplingParams.from_flat(session.resolved.spec.sampling))
        await endpoint.serve_endpoint(worker.generate)


if __name__ == "__main__":
    asyncio.run(main())
