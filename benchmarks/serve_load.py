"""Load for servers: guidellm's, a small client of streams for what it cannot measure, and connections that are idle."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["GuideLLM", "Load", "idle_connections", "streamed_seconds"]


@dataclass(frozen=True, slots=True)
class Load:
    """What guidellm has measured."""

    output_tokens_per_second: float
    mean_first_token: float
    mean_inter_token: float


@dataclass(frozen=True, slots=True)
class GuideLLM:
    """The load generator.

    Args:
        python: of its environment.
        tokenizer: a Hugging Face folder that it counts tokens with.
        scratch: for its reports.
    """

    python: Path
    tokenizer: Path
    scratch: Path

    @property
    def version(self) -> str:
        """Its version."""
        asked = "from importlib.metadata import version; print(version('guidellm'))"
        return subprocess.run([self.python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()

    def run(self, url: str, profile: str, *, requests: int, prompt: int, answer: int, seed: int) -> Load:
        """Run a benchmark of greedy completions that stream.

        Raises:
            RuntimeError: a request failed, or had fewer tokens than were asked for.
        """
        report = self.scratch / "guidellm.json"
        options = {
            "--backend": f"kind=openai_http,target={url},request_format=/v1/completions,extras.body.temperature=0",
            "--profile": profile,
            "--constraint": f"kind=max_requests,count={requests}",
            "--tokenizer": f"kind=hf_auto,model={self.tokenizer}",
            "--data": f"kind=synthetic_text,prompt_tokens={prompt},output_tokens={answer}",
            "--seed": f"kind=static,value={seed}",
            "--output": f"kind=json,path={report}",
        }
        command = [self.python, "-m", "guidellm", "run", *(word for pair in options.items() for word in pair)]
        done = subprocess.run([*command, "--disable-console"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"guidellm: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        (found,) = json.loads(report.read_text())["benchmarks"]
        return _load(found, requests * answer)


def _load(report: dict[str, Any], expected: int) -> Load:
    answered = report["requests"]["successful"]
    tokens = sum(each["output_tokens"] for each in answered)
    if tokens != expected:
        totals = report["metrics"]["request_totals"]
        raise RuntimeError(f"{tokens} tokens of {expected} were made; requests: {totals}")
    begin = min(each["request_start_time"] for each in answered)
    seconds = max(each["request_end_time"] for each in answered) - begin
    first = statistics.mean(each["time_to_first_token_ms"] for each in answered) / 1e3
    return Load(tokens / seconds, first, statistics.mean(each["inter_token_latency_ms"] for each in answered) / 1e3)


def streamed_seconds(url: str, prompts: Sequence[Sequence[int]], answer: int, streams: int) -> float:
    """How long a server takes to stream answers to prompts of ids, so many at once; the client is a process."""
    bodies = [
        {
            "prompt": list(prompt),
            "max_tokens": answer,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for prompt in prompts
    ]
    asked = json.dumps({"url": url, "bodies": bodies, "streams": streams})
    done = subprocess.run([sys.executable, __file__], input=asked, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["tokens"] != answer * len(prompts):
        raise RuntimeError(f"{found['tokens']} tokens of {answer * len(prompts)} were made")
    return found["seconds"]


@contextmanager
def idle_connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have asked for /health once and then for nothing."""
    parts = urlsplit(url)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1024)), hard))
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(4096)
            made.append(connection)
        yield made
    finally:
        for connection in made:
            connection.close()


async def _answer(url: str, body: dict[str, Any]) -> int:
    """Read one stream to its end; returns the tokens that it says it has."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    data = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
    tail = b""
    while received := await reader.read(65536):
        tail = (tail + received)[-4096:]
    writer.close()
    found = re.findall(rb'"completion_tokens": ?(\d+)', tail)
    return int(found[-1]) if found else 0


async def _all(url: str, bodies: list[dict[str, Any]], streams: int) -> int:
    waiting = bodies[::-1]

    async def work() -> int:
        tokens = 0
        while waiting:
            tokens += await _answer(url, waiting.pop())
        return tokens

    return sum(await asyncio.gather(*(work() for _ in range(streams))))


def _main() -> None:
    asked = json.load(sys.stdin)
    begin = time.perf_counter()
    tokens = asyncio.run(_all(asked["url"], asked["bodies"], asked["streams"]))
    print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    _main()
