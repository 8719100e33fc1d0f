"""The sides of the CPU benchmark: a process each, and the files that they need."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers.environments import environment

from plugtron.hub import locate

__all__ = ["DENSE", "HERE", "MODEL", "STATIC", "Side", "commands"]

MODEL = "smollm2-135m-instruct"
HERE = Path(__file__).parent
#: The same weights as a Hugging Face folder, none of them rounded.
DENSE = f"{MODEL}-float32"
#: The beginnings of the names of sides whose batches stay what they were at first.
STATIC = ("ONNX Runtime", "transformers")


class Side:
    """One side's process."""

    def __init__(self, name: str, command: list[str | Path]) -> None:
        self.name = name
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=HERE / "peers",
        )
        ready = self._answer()
        self.versions: dict[str, str] = ready["versions"]
        self.weight_bytes: int = ready["weight_bytes"]
        self.start_seconds = time.perf_counter() - begin

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, **command: object) -> dict[str, Any]:
        """Send a command, wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def seconds(self, prompts: list[list[int]], lengths: list[int]) -> float:
        """How long it takes to answer prompts with so many tokens each."""
        answer = self.ask(prompts=prompts, lengths=lengths)
        if answer["made"] != sum(lengths):
            raise RuntimeError(f"{self.name} made {answer['made']} tokens of {sum(lengths)}")
        return answer["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"'):  # what libraries print before `serve` begins is no answer
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}")


def commands(folder: Path) -> dict[str, list[str | Path]]:
    """How each side is started; makes the files that they need."""
    source = locate(MODEL)
    assert source is not None, f"plugtron fetch {MODEL} comes first"
    llama, vllm = environment("llama", folder), environment("vllm", folder)
    subprocess.run([llama, HERE / "peers" / "llama_files.py", source, folder], check=True, capture_output=True)
    dense = folder / DENSE
    _make(dense, [sys.executable, "-m", "plugtron", "convert", "--dtype", "float32", MODEL])
    openvino, onnx = environment("openvino", folder), environment("onnxruntime", folder)
    for bits in (4, 8):
        # Groups and minima as the source has them: what a peer gains or loses is its own.
        how = ["--group-size", "32", "--ratio", "1.0"] if bits == 4 else []
        command = [openvino.parent / "optimum-cli", "export", "openvino", "--model", dense, "--weight-format"]
        command += [f"int{bits}", *how, "--task", "text-generation-with-past"]
        _make(folder / f"openvino-int{bits}", command)
    onnx_folder = folder / "onnxruntime-int4"
    how = ["--extra_options", "int4_block_size=32", "int4_accuracy_level=4"]
    command = [onnx, "-m", "onnxruntime_genai.models.builder", "-i", dense, "-p", "int4", "-e", "cpu", *how, "-o"]
    _make(onnx_folder, command)
    own = [sys.executable, "plugtron_side.py", MODEL]
    return {
        "plugtron Q4_1": [*own, "auto", "native", "dynamic"],
        "plugtron int8": [*own, "auto", "int8", "dynamic"],
        "plugtron bf16": [*own, "bfloat16", "none", "dynamic"],
        "plugtron float32": [*own, "float32", "none", "dynamic"],
        "llama.cpp Q4_1": [llama, "llama_side.py", source, "1"],
        "llama.cpp Q8_0": [llama, "llama_side.py", folder / "Q8_0.gguf", "1"],
        "llama.cpp BF16": [llama, "llama_side.py", folder / "BF16.gguf", "1"],
        "llama.cpp F32": [llama, "llama_side.py", folder / "F32.gguf", "1"],
        "vLLM bf16": [vllm, "vllm_side.py", dense, "bfloat16"],
        "OpenVINO int4": [openvino, "openvino_side.py", folder / "openvino-int4"],
        "OpenVINO int8": [openvino, "openvino_side.py", folder / "openvino-int8"],
        "ONNX Runtime int4": [onnx, "onnxruntime_side.py", onnx_folder],
        "transformers bf16": [sys.executable, "transformers_side.py", dense, "bfloat16"],
        "transformers float32": [sys.executable, "transformers_side.py", dense, "float32"],
    }


def _make(target: Path, command: list[str | Path]) -> None:
    """Have a command write a folder, its last argument, unless it is there already; whole, or not at all."""
    if target.exists():
        return
    print(f"making {target} ...", file=sys.stderr, flush=True)
    unfinished = target.with_name(f"{target.name}.part")
    subprocess.run([*command, unfinished], check=True, stdout=subprocess.DEVNULL)
    unfinished.rename(target)
