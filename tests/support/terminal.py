"""A program in a terminal: a real pseudo-terminal, with somebody who types and reads."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import contextmanager

_LIMIT_S = 600


class Terminal:
    """What a program has written so far, and a way to type."""

    def __init__(self, process, descriptor):
        self.process = process
        self._descriptor = descriptor
        self.screen = ""

    def type(self, text):
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def read(self):
        """Read what is there, waiting for some; False when the program has closed the terminal."""
        assert select.select([self._descriptor], [], [], _LIMIT_S)[0], self.screen
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # as Linux says that nobody has it open any more
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)

    def await_text(self, pattern, *, after=0):
        """Read until a pattern stands on the screen behind a place; return the place behind it."""
        until = time.monotonic() + _LIMIT_S
        while not (found := re.search(pattern, self.screen[after:])):
            assert self.read() and time.monotonic() < until, self.screen
        return after + found.end()

    def end(self):
        """Read to the end; return the exit code."""
        while self.read():
            pass
        return self.process.wait(_LIMIT_S)


@contextmanager
def terminal(*arguments, variables=None):
    """Start `plugtron` in a terminal."""
    controlling, own = pty.openpty()
    # Nobody here says where the cursor is.
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "plugtron", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=own,
        stdout=own,
        stderr=own,
        env={**environment, **(variables or {})},
        # As a shell does it: Ctrl-C is a signal to those whose terminal this is.
        preexec_fn=_take_terminal,
    )
    os.close(own)
    try:
        yield Terminal(process, controlling)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(controlling)


def _take_terminal():
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
