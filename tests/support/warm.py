"""Commands in processes that need not import torch again: forked from one that has, by `warm_process.py`.

What a test says of a command is as true as of one that a shell starts, but for the time that its imports take and the
order in which they come. Tests of those, of other environments, and of what is started by somebody else start Python.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

_PROGRAM = Path(__file__).with_name("warm_process.py")


class Running:
    """A process as subprocess has it: its number, and how it ends."""

    def __init__(self, answers):
        self._answers = answers.makefile("r")
        answers.close()
        self.pid = int(self._answers.readline())
        self.returncode = None
        self._ended = threading.Event()
        threading.Thread(target=self._await, daemon=True).start()

    def _await(self):
        self.returncode = int(self._answers.readline() or -signal.SIGKILL)
        self._answers.close()
        self._ended.set()

    def poll(self):
        """The exit code, if it has ended."""
        return self.returncode

    def wait(self, timeout=None):
        """The exit code, once it has ended."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Warm:
    """A process that has imported, and forks."""

    def __init__(self, python=sys.executable):
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._commands, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [python, _PROGRAM, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def start(self, *arguments, stdin=None, stdout=1, stderr=2, cwd=None, variables=None, terminal=False):
        """Run `python ARGUMENTS` with streams or descriptors; with more variables than this process has."""
        assert not any(name.startswith("PYTHON") for name in variables or {}), "what Python reads when it starts"
        command = {
            "arguments": list(map(str, arguments)),
            "folder": str(cwd or Path.cwd()),
            "variables": {**os.environ, **(variables or {})},
            "terminal": terminal,
        }
        answers, theirs = socket.socketpair()
        with theirs:
            streams = (self._nothing if stdin is None else stdin, stdout, stderr)
            descriptors = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
            socket.send_fds(self._commands, [json.dumps(command).encode()], [*descriptors, theirs.fileno()])
        return Running(answers)

    def close(self):
        """Have it end; what it has started goes on."""
        self._commands.close()
        os.close(self._nothing)
        self._process.wait()
