"""Random clients for a while: memory stays flat, and every block is free in the end. `make soak`: 20 minutes."""

import json
import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.chat_fixtures import ASKED, PERSON, TEMPLATE, TOOL
from support.raw_http import await_idle, connection, posted, received
from support.serving import served

SECONDS = float(os.environ.get("PLUGTRON_SOAK_SECONDS", "20"))
CLIENTS = 12
#: What is asked for even where the time is over, so that a slow machine too fills every cache in the first third.
ANSWERS = 300
#: What memory may grow by after the first two thirds.
GROWTH_MB = 40
#: Few, because memory of keys and values is a process's only from the first time that a block is written.
BLOCKS = 384


def request(generator):
    """A random request: mostly good, of every kind, now and then wrong."""
    words = " ".join(generator.choices(["rain", "sea", "hill", "cloud", "日本", "🌸"], k=generator.randint(1, 60)))
    messages = [*ASKED, {"role": "assistant", "content": words}, {"role": "user", "content": words}]
    body = {
        "max_tokens": generator.randint(1, 40),
        "temperature": generator.choice([0, 0.7, 1.5]),
        "stream": generator.random() < 0.5,
    }
    kind = generator.randrange(8)
    if kind == 0:
        return "/v1/completions", {**body, "prompt": [words, words[::-1]], "logprobs": 2, "echo": True}
    if kind == 1:
        return "/v1/embeddings", {"input": [words, "x"], "pooling": generator.choice(["last", "mean"])}
    if kind == 2:
        return "/v1/messages", {**body, "messages": messages}
    if kind == 3:
        return "/v1/responses", {"input": words, "max_output_tokens": 12, "stream": body["stream"]}
    if kind == 4:
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
        return "/v1/chat/completions", {**body, "messages": messages, "response_format": form}
    if kind == 5:
        asked = {"tools": [TOOL], "tool_choice": "required", "chat_template": TEMPLATE}
        return "/v1/chat/completions", {**body, "messages": messages, **asked}
    if kind == 6:
        return "/v1/chat/completions", {**body, "messages": messages, "temperature": -1, "nonsense": words}
    return "/v1/chat/completions", {**body, "messages": messages, "n": 1 if body["temperature"] == 0 else 3}


def client(url, seed, until, seen):
    generator = random.Random(seed)
    while time.monotonic() < until or len(seen) < ANSWERS:
        path, body = request(generator)
        with connection(url) as made:
            made.sendall(posted(path, body))
            if generator.random() < 0.2:  # leaves
                made.settimeout(generator.random())
                with suppress(TimeoutError):
                    made.recv(generator.randint(1, 2000))
                continue
            status, data = received(made)
        seen.append(status)
        if status not in (200, 400):
            seen.append((path, json.dumps(body)[:200], data[:300]))


def resident_mb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.wide
def test_random_clients(default_model):
    with served("smollm2-135m-instruct", "--set", f"engine.options.blocks={BLOCKS}") as server:
        until, seen, sizes = time.monotonic() + SECONDS, [], []
        threads = [threading.Thread(target=client, args=(server.url, seed, until, seen)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            sizes.append((len(seen), resident_mb(server.process.pid)))
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        await_idle(server.url)
        assert set(seen) == {200, 400}
        # By answers, not by seconds: what is computed is what takes memory.
        thirds = [[size for count, size in sizes if count * 3 // (len(seen) + 1) == third] for third in range(3)]
        most = [max(third) for third in thirds]
        print(f"{len(seen)} answers; at the most {most} MB in each third")
        grown = most[2] - most[1]
        assert grown < GROWTH_MB
        assert "Traceback" not in server.log
        assert server.stop() == 0
