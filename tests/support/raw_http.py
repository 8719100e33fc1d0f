"""HTTP spoken by hand, for what no client would do."""

import json
import socket
import time
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen


@contextmanager
def connection(url):
    """A socket that is connected to a server."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=600) as made:
        yield made


def head(path, length, *more):
    """The first line and the headers of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def posted(path, body):
    """A whole request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(path, len(data), "Connection: close") + data


def answer(url, request):
    """Send bytes, and return the status and the body of what comes back until the server closes."""
    with connection(url) as made:
        made.sendall(request)
        return received(made)


def received(made):
    """The status and the body of what comes until the server closes."""
    data = b""
    while piece := made.recv(65536):
        data += piece
    status = int(data.split(b" ", 2)[1]) if data else None
    return status, data.partition(b"\r\n\r\n")[2]


def metrics(url):
    """What a server counts: by name, the first of each."""
    found = {}
    for line in urlopen(f"{url}/metrics", timeout=600).read().decode().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found.setdefault(name.partition("{")[0], float(value))
    return found


def await_idle(url, seconds=600):
    """Wait until nothing runs or waits and no block is held."""
    until = time.monotonic() + seconds
    names = ("plugtron_requests_running", "plugtron_requests_waiting", "plugtron_kv_blocks_used")
    while any((counts := metrics(url))[name] for name in names):
        assert time.monotonic() < until, {name: counts[name] for name in names}
        time.sleep(0.05)
