"""Several requests as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from plugtron.contracts.routes import Service
from plugtron.request.request import InferenceRequest, RequestOutput

__all__ = ["merged"]


async def merged(
    service: Service, requests: Sequence[InferenceRequest]
) -> AsyncGenerator[tuple[int, RequestOutput], None]:
    """Run requests beside each other and yield their outputs as they come, each with its request's number.

    Raises:
        PlugtronError: what the first request to fail raises; the others are aborted.
    """
    if len(requests) == 1:
        async with aclosing(service.stream(requests[0])) as outputs:
            async for output in outputs:
                yield 0, output
        return
    streams = [service.stream(request) for request in requests]
    coming = {asyncio.ensure_future(anext(stream, None)): number for number, stream in enumerate(streams)}
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = coming.pop(task)
                output = task.result()
                if output is not None:
                    coming[asyncio.ensure_future(anext(streams[number], None))] = number
                    yield number, output
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
