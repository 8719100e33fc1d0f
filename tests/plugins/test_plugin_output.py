"""Whatever a plugin prints, at import, in hooks and in its parts: standard output has the results alone."""

import json
import subprocess
import sys

import pytest

LOUD = """
import ctypes
import os

from plugtron import Component, hookimpl
from plugtron.contracts import Sampler


def shout(where):
    print("printed", where)
    os.write(1, b"written\\n")
    os.system("echo by a shell")
    ctypes.CDLL(None).printf(b"by C, and kept back\\n")


shout("import")


@hookimpl
def plugtron_samplers():
    shout("registration")
    return [Component(name="acme_loud", target="acme_loud:Loud")]


@hookimpl
def plugtron_run_started(run):
    shout("start")


@hookimpl
def plugtron_run_finished(run):
    shout("end")


class Loud(Sampler):
    @classmethod
    def assemble(cls, parts, options):
        shout("assembly")
        return cls()

    def uses(self, params):
        return True

    def apply(self, candidates):
        shout("step")
        return candidates
"""


@pytest.fixture
def run(tmp_path, random_model):
    (tmp_path / "acme_loud.py").write_text(LOUD)
    values = {
        "version": 1,
        "model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"},
        "samplers": ["default", "acme_loud"],
        "sampling": {"max_tokens": 2},
        "prompts": [[1], [2]],
    }
    (tmp_path / "run.json").write_text(json.dumps(values))

    def run(verb, *arguments):
        command = [sys.executable, "-m", "plugtron", verb, *arguments, "--plugin", str(tmp_path / "acme_loud.py")]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    return run


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.wide)])
def test_results_stand_alone_on_standard_output(ranks, run):
    done = run("run", "run.json", "--set", f"parallel.tensor={ranks}")
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == [0, 1]
    for where in ("import", "registration", "start", "end", "assembly", "step"):
        assert f"printed {where}" in done.stderr
    assert "by C, and kept back" in done.stderr
    to_file = run("run", "run.json", "--output", "/dev/stdout", "--set", "prompts=[[3]]")
    assert json.loads(to_file.stdout)["prompt"] == [3]


def test_so_does_what_other_verbs_print(run):
    assert json.loads(run("schema").stdout)["title"]
    assert {"name": "acme_loud", "state": "active"}.items() <= json.loads(run("plugins", "--json").stdout)[-1].items()
    assert run("show", "run.json").stdout.startswith("#")
