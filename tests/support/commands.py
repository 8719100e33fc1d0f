"""Commands that tests run to their end: `plugtron ...`, scripts, lines of Python."""

import atexit
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from tempfile import TemporaryFile

from support.warm import Warm


@cache
def warm():
    """This worker's process that forks."""
    made = Warm()
    atexit.register(made.close)
    return made


def plugtron(*arguments, **options):
    """Run `plugtron ARGUMENTS`; of options, see `python`."""
    return python("-m", "plugtron", *arguments, **options)


def python(*arguments, said="", stdout=None, cwd=None, check=None, timeout=1200, **variables):
    """Run `python ARGUMENTS`, tell it something, and read what it writes; `check` is the code it must end with.

    What it writes to comes through pipes, as with `subprocess.run`; what it is told is a file.
    """
    out, errors = os.pipe(), os.pipe()
    with TemporaryFile("w+") as told, ThreadPoolExecutor(2) as readers:
        texts = [readers.submit(_read, pipe[0]) for pipe in (out, errors)]
        try:
            told.write(said)
            told.seek(0)
            streams = {"stdin": told, "stdout": out[1] if stdout is None else stdout, "stderr": errors[1]}
            process = warm().start(*arguments, **streams, cwd=cwd, variables=variables)
        finally:
            os.close(out[1])
            os.close(errors[1])
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        done = subprocess.CompletedProcess(arguments, code, *(text.result() for text in texts))
    if check is not None:
        assert done.returncode == check, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def ranks(count, *arguments, **options):
    """Run `python ARGUMENTS` on so many ranks, which find themselves under torchrun; what each has written."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    warm()
    with ThreadPoolExecutor(count) as started:
        each = [{**job, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1} for rank in range(count)]
        told = [{name: str(value) for name, value in variables.items()} for variables in each]
        running = [started.submit(python, *arguments, **variables, check=0, **options) for variables in told]
        return [rank.result().stdout for rank in running]


def _read(descriptor):
    with open(descriptor) as stream:  # noqa: PTH123 - not a path
        return stream.read()
