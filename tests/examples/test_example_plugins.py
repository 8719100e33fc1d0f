"""The packages of examples/plugins: wheels beside plugtron's own, tested and run as anybody's are."""

import ast
import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from support import venv
from support.imports import ROOT, imported, modules
from support.public_types import PUBLIC
from transformers import StableLmConfig, StableLmForCausalLM

PACKAGES = sorted(path.parent for path in (ROOT / "examples" / "plugins").glob("*/pyproject.toml"))
NAMES = [package.name for package in PACKAGES]
#: Tests that need what the environment of the suite does not have.
ELSEWHERE = ()


def sources(package):
    return sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return venv.make(tmp_path_factory.mktemp("examples"), [ROOT, *PACKAGES])


@pytest.fixture(scope="module")
def stablelm(tmp_path_factory):
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    folder = tmp_path_factory.mktemp("stablelm")
    StableLmForCausalLM(StableLmConfig(vocab_size=96, **sizes, **heads)).save_pretrained(folder)
    return folder


@pytest.fixture
def spec(tmp_path, default_model, stablelm):
    """A package's spec, beside which a run may write, and the model that it is run with here."""

    def copy(package):
        model = stablelm if package == "plugtron-stablelm" else default_model
        return Path(shutil.copy(ROOT / "examples" / "plugins" / package / "spec.yaml", tmp_path)), model

    return copy


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_nothing_but_public_modules_is_imported(package):
    """Modules, and what is taken from them."""
    known = modules()
    for path in sources(package):
        own = {name for name in imported(path, known) if name == "plugtron" or name.startswith("plugtron.")}
        assert own <= set(PUBLIC), f"{path}: {own - set(PUBLIC)}"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in PUBLIC:
                taken = {alias.name for alias in node.names}
                assert taken <= set(import_module(node.module).__all__), f"{path}: from {node.module}"


@pytest.mark.parametrize("package", NAMES)
def test_a_spec_is_in_order(package, installed, spec):
    path, model = spec(package)
    installed.plugtron("check", path, "--set", f"model.checkpoint={model}", check=0)


def test_listing_them_imports_no_torch(installed):
    script = "import sys; from plugtron import PluginManager; PluginManager(strict=True); print('torch' in sys.modules)"
    assert installed.run("-c", script, check=0).stdout == "False\n"


def test_their_own_tests(installed, tmp_path):
    """All in one process; from the wheels, since the sources are on no path."""
    folders = [package / "tests" for package in PACKAGES]
    ignored = [f"--ignore={ROOT / 'examples' / 'plugins' / path}" for path in ELSEWHERE]
    options = ["-q", "-c", "/dev/null", f"--rootdir={tmp_path}", "--import-mode=importlib", "-p", "no:cacheprovider"]
    installed.run("-m", "pytest", *options, *ignored, *folders, check=0)


@pytest.mark.wide
@pytest.mark.parametrize("package", NAMES)
def test_a_spec_runs(package, installed, spec):
    path, model = spec(package)
    done = installed.plugtron("run", path, "--set", f"model.checkpoint={model}", check=0)
    written = path.parent / "results.jsonl"
    lines = (written.read_text() if package == "plugtron-report" else done.stdout).splitlines()
    assert lines
    assert all(json.loads(line)["error"] is None for line in lines)
