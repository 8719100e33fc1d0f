"""The servers of the benchmark of serving, each a process, with the same weights and settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from peers.environments import environment

from plugtron.hub import locate

__all__ = [
    "LENGTH",
    "MODEL",
    "ROWS",
    "SETTINGS",
    "THREADS",
    "Served",
    "plugtron_server",
    "resident_bytes",
    "xllamacpp_server",
]

MODEL = "smollm2-135m-instruct"
HERE = Path(__file__).parent
ROWS, LENGTH, THREADS = 16, 2048, 2
#: The file's own blocks, and no prefix that is shared.
SETTINGS = {
    "model.dtype": "bfloat16",
    "model.quantization": "as_stored",
    "engine.options.max_batch_size": ROWS,
    "engine.options.max_sequence_length": LENGTH,
    "engine.options.prefix_caching": "false",
    "threads": THREADS,
}


class Served:
    """A server's process. The end of its standard input ends it, or, where that is not ours, SIGTERM."""

    def __init__(self, process: subprocess.Popen[str], url: str, versions: dict[str, str]) -> None:
        self.process = process
        self.url = url
        self.versions = versions

    def get(self, path: str) -> Any:
        """Get JSON."""
        with urlopen(self.url + path, timeout=600) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post JSON, and get some."""
        request = Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=600) as response:
            return json.load(response)

    def close(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self.process.terminate()
        self.process.wait(60)


def plugtron_server(log: Path) -> Served:
    """plugtron serve, ready; what it logs goes to a file."""
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "plugtron", "serve", MODEL, "--port", "0", *settings]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stderr=errors, text=True)
    while not (found := re.search(r" at (http://\S+)\n", log.read_text())):
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"plugtron serve has ended: {log.read_text()}")
    return Served(process, found[1], {"plugtron": version("plugtron"), "torch": version("torch")})


def xllamacpp_server(
    environments: Path,
    file: Path | None = None,
    *,
    slots: int = ROWS,
    length: int = LENGTH,
    drafts: str = "none",
    kv: str = "f16",
) -> Served:
    """llama.cpp's server, ready, with a file, by default that of the model.

    Args:
        length: tokens of a slot.
        drafts: its --spec-type.
        kv: its --cache-type-k and --cache-type-v.
    """
    source = file or locate(MODEL)
    assert source is not None, f"plugtron fetch {MODEL} comes first"
    python = environment("xllamacpp", environments)
    options = [str(slots), str(length), str(THREADS), drafts, kv]
    command = [python, HERE / "peers" / "xllamacpp_side.py", source, *options]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{command[1]} has ended with exit code {process.wait()}")
    ready = json.loads(line)
    return Served(process, ready["url"], ready["versions"])


def resident_bytes(pid: int) -> int:
    """The memory of a process now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024
