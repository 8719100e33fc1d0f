"""Files from strangers end in plugtron's own errors: mutated for seconds, or under `make fuzz` for minutes."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.fuzzing import AT_RANDOM, SECONDS

pytestmark = pytest.mark.fuzz

HERE = Path(__file__).parent
SEED = random.randrange(2**32) if AT_RANDOM else 5
TARGETS = ["pickles", "archives", "gguf_files", "folders", "tokenizer_files", "specs", "templates", "answers"]


@pytest.mark.parametrize("target", TARGETS)
def test_what_strangers_write(target, tmp_path):
    command = [sys.executable, HERE / "worker.py", target, str(SEED), str(SECONDS), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        kept = Path(os.environ.get("PLUGTRON_FUZZ_KEEP", tmp_path)) / f"{target}-{SEED}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if (tmp_path / "input").exists():
            shutil.copy(tmp_path / "input", kept)
        pytest.fail(f"exit code {done.returncode}, seed {SEED}, input kept as {kept}\n{done.stderr[-3000:]}")
    print(done.stdout)
