"""The commands of the pages on serving and on conversations, as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.serving import served

pytestmark = pytest.mark.clients

DOCS = Path(__file__).parents[2] / "docs"
HERE = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def commands(page):
    """The commands of a page's snippets."""
    return re.findall(r"```bash\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


def test_curl(default_model):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    with served("smollm2-135m-instruct") as server:
        for each in commands("serving.md"):
            # A free port in the place of the one that a server has by default.
            script = each.replace("http://127.0.0.1:8000", server.url)
            assert script != each
            done = subprocess.run(["bash", "-ec", script], env=HERE, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr
            assert '"choices"' in done.stdout or '"data"' in done.stdout, done.stdout


def test_chat(default_model):
    (command,) = commands("chat.md")
    done = subprocess.run(["bash", "-ec", command], env=HERE, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) > 10
