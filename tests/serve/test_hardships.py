"""What strangers do to a server: nothing hangs, nothing leaks, no block is lost."""

import json
import os
import signal
import socket
import threading

import pytest
from support.chat_fixtures import ASKED
from support.commands import plugtron
from support.processes import await_end, children
from support.raw_http import answer, await_idle, connection, head, posted, received
from support.serving import served

CHAT = "/v1/chat/completions"
SHORT = {"messages": ASKED, "max_tokens": 2, "temperature": 0}
LONG = {"messages": ASKED, "ignore_eos": True, "max_tokens": 1500, "stream": True}


def is_well(url):
    """Whether a request is answered as ever, and everything is given back."""
    status, body = answer(url, posted(CHAT, SHORT))
    assert (status, json.loads(body)["usage"]["completion_tokens"]) == (200, 2)
    await_idle(url)


def leave_often(url, times):
    """Send requests and leave: before the answer, in the middle of it, with the body half sent."""
    request = posted(CHAT, LONG)
    for number in range(times):
        with connection(url) as made:
            made.sendall(request[: len(request) // 2] if number % 3 == 2 else request)
            if number % 3 == 1:
                made.recv(1)


def test_clients_that_leave(server):
    leave_often(server.url, 60)
    is_well(server.url)


@pytest.mark.wide
def test_ten_thousand_clients_that_leave(server):
    threads = [threading.Thread(target=leave_often, args=(server.url, 1250)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_well(server.url)


def test_a_slow_reader_holds_nobody_up(server):
    with connection(server.url) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(posted(CHAT, LONG))
        slow.recv(1)
        status, _ = answer(server.url, posted(CHAT, SHORT))
        assert status == 200
    is_well(server.url)


def test_half_open_connections(server):
    made = [socket.create_connection(server.url.removeprefix("http://").split(":")) for _ in range(50)]
    for number, each in enumerate(made):
        each.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"[: number * 2])
    is_well(server.url)
    for each in made:
        each.close()
    is_well(server.url)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"[]", 400, "JSON object"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "deeply"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, 400, "deeply"),
        (b'{"temperature": NaN}', 400, "NaN"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", 400, "no JSON"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400, "Unicode"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}', 400, "temperature"),
    ],
    ids=["torn", "list", "bytes", "lists", "mappings", "nan", "digits", "surrogate", "infinity"],
)
def test_bodies_that_are_none(server, body, status, said):
    found, told = answer(server.url, posted(CHAT, body))
    assert found == status
    assert said in json.loads(told)["error"]["message"]
    is_well(server.url)


def test_a_body_of_a_hundred_megabytes(server):
    """It is refused by its length, before it is read; one that does not say its length, when it has become too long."""
    status, told = answer(server.url, head(CHAT, 100_000_000))
    assert (status, json.loads(told)["error"]["code"]) == (413, "body_too_large")
    chunked = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with connection(server.url) as made:
        made.sendall(chunked)
        try:
            for _ in range(100):
                made.sendall(piece)
            status, _ = received(made)
            assert status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has closed the connection, and reads no more
    is_well(server.url)


def test_a_flood_of_headers(server):
    line = b"X-Flood: " + b"y" * 1000 + b"\r\n"
    with connection(server.url) as made:
        made.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        try:
            for _ in range(10_000):
                made.sendall(line)
            status, _ = received(made)
            assert status == 400
        except (BrokenPipeError, ConnectionResetError):
            pass
    is_well(server.url)


def test_more_requests_than_it_takes(default_model):
    with served("smollm2-135m-instruct", "--set", "serve.max_requests=2") as server:
        with connection(server.url) as first, connection(server.url) as second:
            for each in (first, second):
                each.sendall(posted(CHAT, LONG))
                each.recv(1)
            status, told = answer(server.url, posted(CHAT, SHORT))
            assert (status, json.loads(told)["error"]["code"]) == (429, "overloaded")
        await_idle(server.url)
        is_well(server.url)


@pytest.mark.wide
def test_a_thousand_connections(server):
    made = [socket.create_connection(server.url.removeprefix("http://").split(":")) for _ in range(1000)]
    is_well(server.url)
    for each in made[:200]:
        each.sendall(posted(CHAT, SHORT))
    assert {received(each)[0] for each in made[:200]} == {200}
    for each in made:
        each.close()
    is_well(server.url)


def test_a_stop_lets_open_requests_finish(default_model):
    with served("smollm2-135m-instruct") as server, connection(server.url) as made:
        made.sendall(posted(CHAT, {**LONG, "max_tokens": 60}))
        made.recv(1)
        server.process.send_signal(signal.SIGTERM)
        _, body = received(made)
        assert b"data: [DONE]" in body
        assert server.process.wait(600) == 0


def test_a_stop_does_not_wait_for_ever(default_model):
    with served("smollm2-135m-instruct", "--set", "serve.drain_seconds=0") as server, connection(server.url) as made:
        made.sendall(posted(CHAT, LONG))
        made.recv(1)
        server.process.send_signal(signal.SIGTERM)
        _, body = received(made)
        assert b"closed" in body
        assert server.process.wait(600) == 0


@pytest.mark.parametrize("busy", [True, False])
def test_a_rank_that_is_killed_ends_the_server(default_model, busy):
    with served("smollm2-135m-instruct", "--set", "parallel.tensor=3") as server:
        status, body = answer(server.url, posted(CHAT, SHORT))
        assert status == 200
        followers = children(server.process.pid)
        if busy:
            with connection(server.url) as made:
                made.sendall(posted(CHAT, LONG))
                made.recv(1)
                _kill(followers)
                _, body = received(made)
                assert b"rank" in body
        else:
            _kill(followers)
        assert server.process.wait(600) == 1
        await_end(followers)


def _kill(followers):
    os.kill(followers[0], signal.SIGKILL)


def test_an_address_that_is_taken(server, default_model):
    port = server.url.rpartition(":")[2]
    done = plugtron("serve", "smollm2-135m-instruct", "--port", port, check=2)
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
