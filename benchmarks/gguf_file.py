"""Any GGUF file on a CPU, beside llama.cpp on the same file: start, memory, prefill and decode, in one run.

    python benchmarks/gguf_file.py FILE [--rounds 5] [--after 1024 8000] [--kv-dtype int8] [--output FILE.md]

plugtron through `LLM` (`as_stored`, bfloat16, static engine), llama.cpp through the server of the wheel `xllamacpp`
with flash attention, two threads each; with `--kv-dtype int8` its keys and values are q8_0. They take turns in each
round, prompts are fresh ids, and no prompt is cached. llama.cpp's rates are those that it reports itself, without HTTP.
The table has medians, and medians of the ratios of a round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from cpu_sides import Side
from peers.environments import environment
from serve_report import machine
from serve_sides import LENGTH, Served, resident_bytes, xllamacpp_server

#: Ids that every vocabulary has, the special ones left out.
IDS = range(1000, 30_000)
PREFILL, DECODE, ROWS, ROW_TOKENS = 512, 64, 8, 32
#: llama.cpp's name for each of our types of keys and values.
KV = {"auto": "f16", "int8": "q8_0"}
Sides = Mapping[str, Callable[[], float]]


def prompt(generator: random.Random, length: int) -> list[int]:
    """Fresh ids."""
    return generator.choices(IDS, k=length)


def theirs(server: Served, ids: list[int], count: int, rate: str) -> float:
    """A rate of one request to llama.cpp, as it reports it."""
    body = {"prompt": ids, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    return server.post("/completion", body)["timings"][rate]


def tasks(own: Side, peer: Served, generator: random.Random, depths: list[int]) -> dict[str, Sides]:
    """What is measured in a round: tokens a second; `depths` are lengths of prompts to decode after."""
    short, long = prompt(generator, 8), prompt(generator, PREFILL)
    several = [prompt(generator, 8) for _ in range(ROWS)]

    def decode_after(ids: list[int]) -> float:
        whole, first = own.seconds([ids], [DECODE + 1]), own.seconds([ids], [1])
        return DECODE / (whole - first)

    return {
        f"prefill {PREFILL}": {
            "plugtron": lambda: PREFILL / own.seconds([long], [1]),
            "llama.cpp": lambda: theirs(peer, long, 1, "prompt_per_second"),
        },
        "decode": {
            "plugtron": lambda: decode_after(short),
            "llama.cpp": lambda: theirs(peer, short, DECODE, "predicted_per_second"),
        },
        **{
            f"decode after {depth:,}": {
                "plugtron": partial(decode_after, deep),
                "llama.cpp": partial(theirs, peer, deep, DECODE, "predicted_per_second"),
            }
            for depth in depths
            for deep in [prompt(generator, depth)]
        },
        f"decode of {ROWS} rows": {
            "plugtron": lambda: ROWS * ROW_TOKENS / own.seconds(several, [ROW_TOKENS] * ROWS),
        },
    }


def measure(own: Side, peer: Served, rounds: int, depths: list[int]) -> dict[str, dict[str, list[float]]]:
    """All rounds, after one that warms up."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        for task, sides in tasks(own, peer, random.Random(number), depths).items():
            for name, run in sides.items():
                rate = run()
                if number:
                    found.setdefault(task, {}).setdefault(name, []).append(rate)
    return found


def report(record: Mapping[str, Any]) -> str:
    """As Markdown; the record is at its end."""
    start, memory = record["start_seconds"], record["resident_mb"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = [
        f"# {record['file']}",
        "",
        f"`python benchmarks/gguf_file.py`, rounds that alternate: {record['rounds']}. The file has "
        f"{record['file_mb']:.0f} MB, a step of plugtron's reads {record['weight_mb']:.0f} MB of weights. "
        f"Keys and values: {record['kv_dtype']}, llama.cpp's {KV[record['kv_dtype']]}. {versions}; "
        f"{record['machine']}.",
        "",
        "| | plugtron | llama.cpp | ratio |",
        "|---|---|---|---|",
    ]
    for task, sides in record["rates"].items():
        ours, peers = sides["plugtron"], sides.get("llama.cpp")
        cells = f"| {task}, tok/s | {statistics.median(ours):.0f} |"
        if peers is None:
            lines.append(f"{cells} | |")
        else:
            ratio = statistics.median(a / b for a, b in zip(ours, peers, strict=True))
            lines.append(f"{cells} {statistics.median(peers):.0f} | {ratio:.2f} |")
    lines += [
        f"| start, packed before, s | {start['plugtron']:.1f} | {start['llama.cpp']:.1f} | |",
        f"| memory after all, MB | {memory['plugtron']:.0f} | {memory['llama.cpp']:.0f} | |",
        "",
        "```json",
        json.dumps(record),
        "```",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--after", type=int, nargs="*", default=[1024], metavar="TOKENS")
    parser.add_argument("--kv-dtype", choices=KV, default="auto")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--environments", type=Path, default=cache / "plugtron" / "peers")
    asked = parser.parse_args()
    environment("xllamacpp", asked.environments)
    command: list[str | Path] = [
        sys.executable,
        "plugtron_side.py",
        str(asked.file.resolve()),
        "bfloat16",
        "as_stored",
        "static",
        asked.kv_dtype,
    ]
    Side("first", command).close()  # compiles and packs
    own = Side("plugtron", command)
    begin = time.perf_counter()
    length = max(asked.after, default=0) + LENGTH
    server = xllamacpp_server(asked.environments, asked.file.resolve(), slots=1, length=length, kv=KV[asked.kv_dtype])
    with closing(own), closing(server) as peer:
        started = {"plugtron": own.start_seconds, "llama.cpp": time.perf_counter() - begin}
        rates = measure(own, peer, asked.rounds, asked.after)
        record = {
            "file": asked.file.name,
            "file_mb": asked.file.stat().st_size / 1e6,
            "weight_mb": own.weight_bytes / 1e6,
            "rounds": asked.rounds,
            "kv_dtype": asked.kv_dtype,
            "versions": {**own.versions, **peer.versions},
            "machine": machine(),
            "start_seconds": started,
            "resident_mb": {
                "plugtron": resident_bytes(own.pid) / 1e6,
                "llama.cpp": resident_bytes(peer.process.pid) / 1e6,
            },
            "rates": rates,
        }
    text = report(record)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text)


if __name__ == "__main__":
    main()
