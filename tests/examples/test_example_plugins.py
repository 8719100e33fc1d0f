"""The packages of examples/plugins: wheels beside plugtron's own, tested and run as anybody's are."""

import ast
import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from support import real_models, venv
from support.imports import ROOT, imported, modules
from support.public_types import PUBLIC
from transformers import StableLmConfig, StableLmForCausalLM

PACKAGES = sorted(path.parent for path in (ROOT / "examples" / "plugins").glob("*/pyproject.toml"))
NAMES = [package.name for package in PACKAGES]
#: Tests that need llama.cpp, which the environment of the suite does not have: `make test-models` runs them.
LLAMACPP = tuple(
    ROOT / "examples" / "plugins" / "plugtron-llamacpp" / "tests" / f"test_{name}.py"
    for name in ("engine", "conformance")
)
#: What runs models in folders of Hugging Face; the others run the default one.
FOLDERS = ("plugtron-stablelm", "plugtron-tensorrt-llm", "plugtron-transformers")
#: What the environment of the suite cannot run.
ELSEWHERE = ("plugtron-llamacpp", "plugtron-tensorrt-llm")
OPTIONS = ("-q", "-c", "/dev/null", "--import-mode=importlib", "-p", "no:cacheprovider")


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
        model = stablelm if package in FOLDERS else default_model
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


def test_tests_of_the_samplers(installed, tmp_path):
    """From the wheel, since the sources are on no path: they stand for the others here."""
    tests = ROOT / "examples" / "plugins" / "acme-samplers" / "tests"
    installed.run("-m", "pytest", *OPTIONS, f"--rootdir={tmp_path}", tests, check=0)


@pytest.mark.wide
def test_their_own_tests(installed, tmp_path):
    """All in one process; from the wheels, since the sources are on no path."""
    folders = [package / "tests" for package in PACKAGES]
    ignored = [f"--ignore={path}" for path in LLAMACPP]
    installed.run("-m", "pytest", *OPTIONS, f"--rootdir={tmp_path}", *ignored, *folders, check=0)


@pytest.mark.real
def test_llamacpp_itself(installed, tmp_path):
    """Beside plugtron's own engine."""
    packages = real_models.llama_cpp_packages(real_models.FOLDER)
    if not isinstance(packages, Path):
        pytest.skip(f"xllamacpp: {packages}")
    command = ["-m", "pytest", *OPTIONS, f"--rootdir={tmp_path}", "-s", *LLAMACPP]
    print(installed.run(*command, check=0, PYTHONPATH=str(packages)).stdout)


@pytest.mark.wide
@pytest.mark.parametrize("package", [name for name in NAMES if name not in ELSEWHERE])
def test_a_spec_runs(package, installed, spec):
    path, model = spec(package)
    done = installed.plugtron("run", path, "--set", f"model.checkpoint={model}", check=0)
    written = path.parent / "results.jsonl"
    lines = (written.read_text() if package == "plugtron-report" else done.stdout).splitlines()
    assert lines
    assert all(json.loads(line)["error"] is None for line in lines)
    if package == "plugtron-prometheus":  # beside the spec, where its paths begin
        assert "plugtron_tokens_total 32.0" in (path.parent / "plugtron.prom").read_text()
