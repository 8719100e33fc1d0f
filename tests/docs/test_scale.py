"""The sums and the table of docs/scale.md are what its code and its command print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
SHOWN = [found.rstrip().splitlines() for found in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)]


def test_sums():
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == SHOWN[0], done.stderr


EVERY = pytest.param(["1", "8", "64", "1000"], marks=pytest.mark.wide)


@pytest.mark.parametrize("counts", [["1", "8"], EVERY], ids=len)
def test_table(counts):
    (command,) = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "plugtron"
    # A small checkpoint in the place of the default one: no model is run.
    words += ["--model", str(CHECKPOINT)]
    for count in {"1", "8", "64", "1000"} - set(counts):
        place = words.index(count) - 1
        assert words[place] == "--replicas"
        del words[place : place + 2]
    done = subprocess.run([sys.executable, "-m", "plugtron", *words], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    cost, titles, *rows, explained = (line.split() for line in done.stdout.splitlines())
    shown = [line.split() for line in SHOWN[1]]
    assert [cost, titles, explained] == [shown[0], shown[1], shown[-1]]
    assert rows == [row for row in shown[2:-1] if row[0] in counts]
