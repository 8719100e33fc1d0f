"""Packed weights are kept between starts, made again when something changed, and never needed."""

import json
import os
import shutil
import subprocess
import sys
import time

import torch
from support.programs import EMPTY

from plugtron.execution.packed import FileStore, open_packed
from plugtron.kernels.native.build import library

PROGRAM = """
import json
import sys
from plugtron import LLM, SamplingParams
from plugtron.execution import native_backend
pack, packed = native_backend._pack, []
native_backend._pack = lambda *arguments: packed.append(1) or pack(*arguments)
with LLM(sys.argv[1], quantization="as_stored") as llm:
    tokens = llm.generate("Once upon a time", SamplingParams(temperature=0, max_tokens=8)).tokens
print(json.dumps({"packed": len(packed), "tokens": tokens}))
"""


def start(model, cache):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)],
        env={**os.environ, "PLUGTRON_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_packed_once_and_again_when_it_must_be(default_model, tmp_path):
    model = shutil.copy(default_model, tmp_path / "model.gguf")
    folder = tmp_path / "cache"
    # The kernels are those of the other tests, compiled already.
    shutil.copytree(library().parent, folder / "native")
    folder.chmod(0o700)
    first, _ = start(model, tmp_path / "cache")
    again, _ = start(model, tmp_path / "cache")
    assert (first["packed"], again["packed"]) == (1, 0)
    assert again["tokens"] == first["tokens"]
    (kept,) = (folder / "packed").iterdir()

    # Another date may mean other weights: they are packed anew, and what was kept goes.
    os.utime(model, (time.time(), time.time() + 5))
    assert start(model, tmp_path / "cache")[0] == first
    (newer,) = (folder / "packed").iterdir()
    assert newer != kept

    # A damaged file.
    newer.write_bytes(newer.read_bytes()[:-1000])
    assert start(model, tmp_path / "cache")[0] == first

    # A folder that is none: it is said, and missed by nobody.
    shutil.rmtree(folder / "packed")
    (folder / "packed").write_text("")
    found, errors = start(model, tmp_path / "cache")
    assert found == {"packed": 1, "tokens": first["tokens"]}
    assert errors.count("packed weights cannot be kept, and are made at every start") == 1


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    target, unfinished = tmp_path / "model.weights", tmp_path / "model.unfinished"
    with unfinished.open("wb") as file:
        store = FileStore(target, file, unfinished)
        number = store.add(torch.float32, (2, 3), [torch.arange(6.0)])
        assert not target.exists()
        store.finish(EMPTY, {"some": number})
    assert not unfinished.exists()
    packed = open_packed(target)
    assert packed.tensors[packed.parameters["some"]].tolist() == [[0, 1, 2], [3, 4, 5]]
