"""The verbs that load no model, and how little they import."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from plugtron import LLM

SCRIPT = """\
import sys
from plugtron.cli import main
try:
    main()
finally:
    heavy = {{'torch', 'numpy', 'transformers', 'rich', 'jinja2', 'tokenizers', 'sentencepiece'}} & set(sys.modules)
    assert not heavy, heavy
"""


def light(*arguments):
    """Run a verb and make sure that it imported nothing heavy."""
    return subprocess.run([sys.executable, "-c", SCRIPT.format(), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--help"], "run a spec and write its results"),
        (["--version"], "plugtron 0.1.0"),
        (["run", "--help"], "Run SPEC"),
        (["plugins"], "samplers     active  plugtron 0.1.0  allowed_tokens, grammar, min_tokens"),
        (["plugins", "--json"], '"state": "active"'),
        (["plugins", "show", "engines"], "offers:        engine static: one batch after the other"),
        (["components"], "option max_batch_size: sequences per batch"),
        (["components", "sampler"], "parameter top_k"),
        (["schema"], '"$schema": "https://json-schema.org/draft/2020-12/schema"'),
        (["check", "examples/specs/demo.yaml"], "examples/specs/demo.yaml: ok"),
        (["show", "examples/specs/demo.yaml"], "max_batch_size: 8"),
    ],
)
def test_light_verbs(arguments, text, default_model):
    done = light(*arguments)
    assert done.returncode == 0, done.stderr
    assert text in done.stdout


def test_show_says_what_auto_comes_to(default_model):
    shown = light("show", "examples/specs/demo.yaml", "--set", f"model.checkpoint={default_model}").stdout
    settled = dict(re.findall(r"^# (\S+): auto is (.*) here$", shown, flags=re.MULTILINE))
    with LLM(default_model) as llm:
        runtime = llm.session.parts.runtime
        assert settled["device"] == str(runtime.device)
        assert settled["model.dtype"] == str(runtime.dtype).removeprefix("torch.")
    assert settled["execution"] == "native, else eager"
    assert {"model.kv_dtype", "threads"} <= set(settled)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["rum"], 2, "no such command 'rum'"),
        (["check"], 2, "Missing argument 'SPEC'"),
        (["check", "nowhere.yaml"], 2, "nowhere.yaml: cannot read the spec: No such file or directory"),
        (["check", "README.md"], 2, "a spec ends in .yaml, .yml, .json, .toml (got 'README.md')"),
        (["plugins", "show", "engine"], 2, "no plugin 'engine' (installed: controllers, core, engines"),
    ],
)
def test_mistakes(arguments, code, text):
    done = light(*arguments)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["check", "examples/specs/demo.yaml"], ["models"], ["--help"]])
def test_a_standard_output_that_cannot_be_written(arguments):
    command = [sys.executable, "-m", "plugtron", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (1, "standard output: cannot write: No space left on device\n")
