"""Packed weights are kept between starts, made again when something changed, and never needed."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

PROGRAM = """
import sys
from plugtron import LLM, SamplingParams
from plugtron.execution import choice
pack, packed = choice._pack, []
choice._pack = lambda *arguments: packed.append(1) or pack(*arguments)
with LLM(sys.argv[1], quantization="native") as llm:
    tokens = llm.generate("Once upon a time", SamplingParams(temperature=0, max_tokens=8)).tokens
import json
print(json.dumps({"packed": len(packed), "tokens": tokens}))
"""


def start(model, cache, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def model(default_model, tmp_path_factory):
    """A copy of the default model, whose date may be changed."""
    return shutil.copy(default_model, tmp_path_factory.mktemp("model"))


def test_the_second_start_packs_nothing_until_the_file_changes(model, tmp_path):
    first, _ = start(model, tmp_path)
    second, _ = start(model, tmp_path)
    assert (first["packed"], second["packed"]) == (1, 0)
    assert second["tokens"] == first["tokens"]
    kept = list((tmp_path / "plugtron" / "packed").iterdir())
    assert len(kept) == 1
    os.utime(model, (time.time(), time.time() + 5))
    third, _ = start(model, tmp_path)
    assert third == first
    # What was kept of the old file is gone, and nothing unfinished is left.
    assert [path == kept[0] for path in (tmp_path / "plugtron" / "packed").iterdir()] == [False]


def test_a_cache_that_cannot_be_written_is_said_and_missed_by_nobody(model, tmp_path):
    usual, _ = start(model, tmp_path)
    found, errors = start(model, "/dev/null/cache", HOME="/dev/null")
    assert found == usual
    assert errors.count("packed weights cannot be kept, and are made at every start") == 1


def test_a_damaged_file_is_made_again(model, tmp_path):
    usual, _ = start(model, tmp_path)
    (kept,) = (tmp_path / "plugtron" / "packed").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1000])
    found, _ = start(model, tmp_path)
    assert found == usual
