"""A real `plugtron serve` in a process of its own."""

import os
import re
import signal
import threading
from contextlib import contextmanager

from support.commands import warm

#: Seconds that a busy machine may take to load a small model.
_LIMIT_S = 600


class Served:
    """A server that has said where it is."""

    def __init__(self, process, url, lines):
        self.process = process
        self.url = url
        self.lines = lines

    def stop(self, number=signal.SIGTERM):
        """Ask it to stop; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(_LIMIT_S)

    @property
    def log(self):
        """What it has written to standard error."""
        return "".join(self.lines)


@contextmanager
def served(*arguments, variables=None, launcher=("-m", "plugtron"), wait=True):
    """Start a server on a free port and wait until its model is loaded."""
    environment = {"OMP_NUM_THREADS": "1", **(variables or {})}
    reading, writing = os.pipe()
    try:
        command = [*launcher, "serve", "--port", "0", *arguments]
        process = warm().start(*command, stdout=1, stderr=writing, variables=environment)
    finally:
        os.close(writing)
    with watched(process, open(reading), wait=wait) as running:  # noqa: PTH123 - not a path
        yield running


@contextmanager
def watched(process, errors, *, wait=True):
    """Read what a server's process writes to standard error, until it says where it is; end it in the end."""
    lines, told = [], threading.Event()

    def read():
        with errors as stream:
            for line in stream:
                lines.append(line)
                told.set()
        told.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield Served(process, _url(process, lines, told) if wait else None, lines)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()


def _url(process, lines, told):
    while True:
        told.clear()
        for line in list(lines):
            if found := re.search(r" at (https?://\S+)$", line.rstrip()):
                return found[1]
        assert process.poll() is None, "".join(lines)
        told.wait(0.2)  # and look again whether it lives
