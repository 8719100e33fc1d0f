"""`plugtron batch` over many short prompts, watched from outside."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from serve_sides import MODEL, SETTINGS, resident_bytes

__all__ = ["BATCH_SETTINGS", "BatchRun", "run_batch", "short_prompts"]

#: As many rows as a file of short requests makes use of.
BATCH_SETTINGS = {**SETTINGS, "engine.options.max_batch_size": 64, "engine.options.max_sequence_length": 64}


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What came of it; seconds without those of the start, up to the first answer."""

    requests: int
    seconds: float
    first_bytes: int
    last_bytes: int


def short_prompts(count: int, tokens: int, seed: int) -> list[list[int]]:
    """Prompts of random ids."""
    drawn = random.Random(seed)
    return [[drawn.randrange(1000, 40000) for _ in range(tokens)] for _ in range(count)]


def run_batch(prompts: list[list[int]], answer: int, scratch: Path) -> BatchRun:
    """Run it; memory is looked at after a tenth of the answers, and at the end."""
    requests, results = scratch / "requests.jsonl", scratch / "answers.jsonl"
    results.unlink(missing_ok=True)
    with requests.open("w") as file:
        for number, prompt in enumerate(prompts):
            body = {"prompt": prompt, "max_tokens": answer, "temperature": 0, "ignore_eos": True}
            line = {"custom_id": str(number), "method": "POST", "url": "/v1/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    settings = [word for name, value in BATCH_SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "plugtron", "batch", requests, results, "--model", MODEL, *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    begin = end = 0.0
    first = last = lines = seen = already = 0
    while process.poll() is None:
        time.sleep(0.05)
        if not results.exists():
            continue
        with results.open("rb") as file:
            file.seek(seen)
            new = file.read()
        seen += len(new)
        lines += new.count(b"\n")
        end = time.perf_counter() if new else end
        if lines and not begin:
            begin, already = time.perf_counter(), lines
        if len(prompts) // 10 <= lines < len(prompts):  # with the last one it gives its memory back
            last = resident_bytes(process.pid)
            first = first or last
    if process.wait():
        raise RuntimeError(f"plugtron batch: {process.stderr.read() if process.stderr else ''}")
    return BatchRun(len(prompts) - already, end - begin, first, last)
