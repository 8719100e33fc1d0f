"""Imports what takes seconds to import, once, and forks a process for each command that is asked for.

    python warm_process.py DESCRIPTOR

Through the socket DESCRIPTOR come commands, each a JSON object with three descriptors for the standard streams and one
more socket, which is told the process id and, in the end, the exit code. A command runs in its process as Python would
run it: with its own arguments, variables, folder, module search path, `__main__`, and the whole way out.
"""

import contextlib
import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from importlib import import_module

#: What commands import in any case: torch, and the parts of plugtron that a run is made of.
HEAVY = (
    *("torch", "torch.fx", "torch.distributed.launcher.api", "numpy", "jinja2", "tokenizers", "safetensors", "yaml"),
    *("plugtron", "plugtron.cli.run_spec", "plugtron.cli.serving", "plugtron.assembly.start", "plugtron.execution"),
    *("plugtron_engines.dynamic", "plugtron_engines.static", "plugtron_controllers.text_generation"),
    *("plugtron_wrappers.llama", "plugtron_wrappers.gpt", "plugtron_samplers"),
)
LIMIT = 1 << 20


def serve(commands):
    """Fork until nobody asks any more; in a child, return what it has to do."""
    running = {}  # process id: the socket that waits for its exit code
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(commands, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks is interrupted, too
    while True:
        for key, _ in selector.select():
            if key.fileobj is woken:
                woken.recv(4096)
                reap(running)
                continue
            message, descriptors, _, _ = socket.recv_fds(commands, LIMIT, 4)
            if not message:
                os._exit(0)
            answers = socket.socket(fileno=descriptors.pop())
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                selector.close()
                for end in (wake, woken, commands, answers, *running.values()):
                    end.close()
                return json.loads(message), descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            running[child] = answers
            tell(answers, child)


def reap(running):
    """Pass on the exit codes of the processes that have ended."""
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            answers = running.pop(child)
            tell(answers, os.waitstatus_to_exitcode(status))
            answers.close()


def tell(answers, number):
    """Say a number to whoever waits for it, if they still do."""
    with contextlib.suppress(OSError):
        answers.send(b"%d\n" % number)


def become(command, descriptors):
    """Take on the streams, variables and folder of a command."""
    for own, descriptor in enumerate(descriptors):
        os.dup2(descriptor, own)
        os.close(descriptor)
    if command["terminal"]:
        take_terminal()
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["variables"])
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, name)
        new = io.open(number, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: UP020, SIM115
        if name == "stderr":
            new.reconfigure(line_buffering=True)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def take_terminal():
    """As a shell does it: Ctrl-C is a signal to those whose terminal this is."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def run(arguments):
    """What `python ARGUMENTS` does, for `-m module`, `-c code` and a script."""
    what, *rest = arguments
    if what == "-m":
        module, *rest = rest
        sys.argv = ["-m", *rest]
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as Python writes it
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif what == "-c":
        code, *rest = rest
        sys.argv = ["-c", *rest]
        sys.path.insert(0, "")
        exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(what))  # noqa: PTH120 - as Python writes it
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, where modules have names of others
    for name in HEAVY:
        import_module(name)
    gc.freeze()  # what is collected in a child would copy its pages
    own, descriptors = serve(socket.socket(fileno=int(sys.argv[1])))
    become(own, descriptors)
    run(own["arguments"])
