"""`plugtron new`: a package of every kind, built, installed, tested by its own tests and run from its spec."""

import json
import subprocess
import sys

import copier
import pytest
from support import venv
from support.commands import plugtron

from plugtron.scaffold.render import KINDS, TEMPLATE, write_package
from plugtron.testing import write_model

#: Those whose spec is about a model of their own.
OWN_MODELS = ("checkpoint", "wrapper")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        write_package(kind, f"acme_{kind}", folder / kind, plugtron="0.1")
    return folder


@pytest.fixture(scope="module")
def installed(packages, tmp_path_factory):
    return venv.make(tmp_path_factory.mktemp("installed"), [packages / kind for kind in KINDS])


def test_there_is_one_for_every_kind():
    from plugtron import Kind

    assert set(KINDS) == {*Kind, "observer"}


def test_what_is_written_is_in_order(packages):
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "120", str(packages)]
    subprocess.run([*ruff, "format", "--check", *options], check=True)
    subprocess.run([*ruff, "check", "--select", "E,F,W,B", *options], check=True)
    for kind in KINDS:
        assert "{{" not in "".join(path.read_text() for path in (packages / kind).rglob("*.*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sampler", "top_k"], "plugtron has a sampler of this name"),
        (["sampler", "class"], "accepted are lower-case letters, digits and _"),
        (["sampler", "Acme"], "accepted are lower-case letters, digits and _"),
        (["sample", "acme"], "'sample' is not one of"),
        (["sampler", "acme", "--into", "."], ". is not empty: nothing is written over what is there"),
    ],
)
def test_what_is_wrong_is_refused(arguments, message, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = plugtron("new", *arguments, cwd=tmp_path, check=2)
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_copier_writes_the_same(packages, tmp_path):
    """The template is copier's: a package can be brought to what a later one has."""
    data = {"kind": "sampler", "name": "acme_sampler", "plugtron": "0.1"}
    copier.run_copy(str(TEMPLATE), tmp_path, data=data, defaults=True, quiet=True)
    ours = packages / "sampler"
    for path in sorted(path.relative_to(ours) for path in ours.rglob("*") if path.is_file()):
        if path.name != ".copier-answers.yml":
            assert (tmp_path / path).read_text() == (ours / path).read_text(), path


@pytest.mark.wide
def test_their_own_tests_pass(packages, installed, tmp_path):
    """From the wheels: the sources are on no path. All in one process, which imports torch once."""
    folders = [packages / kind / "tests" for kind in KINDS]
    options = ["-q", "-c", "/dev/null", f"--rootdir={tmp_path}", "--import-mode=importlib", "-p", "no:cacheprovider"]
    report = tmp_path / "report.json"
    installed.run("-m", "pytest", *options, "--plugtron-report", report, *folders, check=0)
    checks = json.loads(report.read_text())["checks"]
    assert {check["outcome"] for check in checks} == {"passed"}
    assert len({check["component"] for check in checks}) == len(KINDS)


@pytest.mark.wide
@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_runs(kind, packages, installed, tmp_path, default_model):
    model = default_model
    if kind in OWN_MODELS:
        model = write_own_model(kind, tmp_path / "model")
    arguments = [packages / kind / "spec.yaml", "--set", f"model.checkpoint={model}", "--set", "output=null"]
    # Installed beside the others, the observer observes their runs, too.
    arguments += ["--set", f"plugins.options.acme_observer.path={tmp_path / 'observed.jsonl'}"]
    done = installed.plugtron("run", *arguments, check=0)
    (result,) = map(json.loads, done.stdout.splitlines())
    assert result["error"] is None
    assert result["tokens"]
    if kind in ("wrapper", "sampler"):
        shared = write_own_model(kind, tmp_path / "shared")
        options = ["--set", f"model.checkpoint={shared}", "--set", "parallel.tensor=2"]
        over_two = installed.plugtron("run", *arguments, *options, check=0)
        assert json.loads(over_two.stdout)["error"] is None


def write_own_model(kind, folder):
    """A small Llama, in the form that the package of a kind reads."""
    write_model(folder)
    config = json.loads((folder / "config.json").read_text())
    if kind == "wrapper":
        config["architectures"] = ["AcmeWrapperForCausalLM"]
    if kind == "checkpoint":
        import numpy as np
        from safetensors.numpy import load_file

        config["format"] = "acme_checkpoint"
        for name, tensor in load_file(folder / "model.safetensors").items():
            np.save(folder / f"{name}.npy", tensor)
        (folder / "model.safetensors").unlink()
        (folder / "config.json").rename(folder / "model.json")
    file = folder / ("model.json" if kind == "checkpoint" else "config.json")
    file.write_text(json.dumps(config))
    return folder
