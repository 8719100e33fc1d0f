"""What every side of the CPU benchmark does: answer commands, one JSON line each, with a JSON line.

Runs in the environment of the side that it serves, so it needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["serve"]

Generate = Callable[[list[list[int]], list[int]], int]
#: From a text, and a file for float32 logits [N, V] or None, to the likeliest token after each prefix.
Follow = Callable[[list[int], "str | None"], list[int]]


def serve(generate: Generate, follow: Follow, versions: dict[str, str], weight_bytes: int) -> None:
    """Answer until standard input ends.

    Args:
        generate: answer prompts greedily with so many tokens each, at most 16 at once; returns how many it made.
        follow: the likeliest token after each prefix of a text; writes the logits too (numpy.save) if it can.
        versions: of what runs here.
        weight_bytes: what a decode step reads.
    """
    # Whatever the libraries print goes to standard error; the answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"versions": versions, "weight_bytes": weight_bytes}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        begin = time.perf_counter()
        if "text" in command:
            answer: dict[str, object] = {"tokens": follow(command["text"], command["logits"])}
        else:
            answer = {"made": generate(command["prompts"], command["lengths"])}
        seconds = time.perf_counter() - begin
        print(json.dumps({**answer, "seconds": seconds, "peak_bytes": _peak_bytes()}), file=answers, flush=True)


def _peak_bytes() -> int:
    """The most memory that this process has had since it began; getrusage counts what it was forked from too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024
