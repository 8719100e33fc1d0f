"""What the documents say is true: snippets run, specs are valid, the plugin shown is the one that is tested."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from plugtron import hooks
from plugtron.host import Host
from plugtron.spec.load import Source, read
from plugtron.spec.resolve import resolve

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_of_the_readme_runs(default_model):
    lines = snippets("python")[0]
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_plugin_of_the_readme_is_the_tested_one():
    package = ROOT / "tests" / "dists" / "acme-samplers"
    assert (package / "acme_samplers" / "__init__.py").read_text() in snippets("python")[1]
    assert snippets("toml")[0] in (package / "pyproject.toml").read_text()


def test_spec_of_the_readme_is_valid():
    resolve(Source(values=yaml.safe_load(snippets("yaml")[0])), Host(builtins_only=True))


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "specs").iterdir()), ids=lambda path: path.name)
def test_shipped_specs_are_valid(path):
    resolve(read(path), Host(builtins_only=True))


def test_example_of_assembly_runs(default_model):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "assemble.py"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "The capital of France is Paris" in done.stdout


def test_every_hook_has_an_example():
    for name, function in vars(hooks).items():
        if name.startswith("plugtron_"):
            assert re.search(rf"@plugtron\.hookimpl\n\s+def {name}\(", function.__doc__), name


def test_commands_of_the_readme_exist():
    for verb in re.findall(r"^    plugtron (\w+)", README, flags=re.MULTILINE):
        done = subprocess.run([sys.executable, "-m", "plugtron", verb, "--help"], capture_output=True)
        assert done.returncode == 0, verb
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
