"""A file as a plugin, without a package: on one rank, on ranks of its own, and what is said of one that is broken."""

import json

import pytest
from support.commands import plugtron

from plugtron import assemble, spec_of
from plugtron.errors import ParallelError
from plugtron.plugin.candidate import load_file
from plugtron.plugin.manager import PluginManager
from plugtron.request.request import InferenceRequest
from plugtron.request.sampling_params import SamplingParams

PLUGIN = """
from dataclasses import replace

from plugtron import Component, Params, hookimpl
from plugtron.contracts import Sampler


class OnlyParams(Params):
    acme_only: int | None = None


@hookimpl
def plugtron_samplers():
    return [Component(name="acme_only", target="acme_file:Only", params=OnlyParams)]


class Only(Sampler):
    params = OnlyParams

    def __init__(self):
        self.tokens = {}

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def add(self, slot, sequence):
        self.tokens[slot] = sequence.request.params.extra["acme_only"]

    def remove(self, slot):
        del self.tokens[slot]

    def apply(self, candidates):
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self.tokens:
                kept = logits[row, self.tokens[slot]].clone()
                logits[row] = float("-inf")
                logits[row, self.tokens[slot]] = kept
        return replace(candidates, logits=logits)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "acme_file.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def values(random_model):
    return {
        "version": 1,
        "model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"},
        "samplers": ["acme_only"],
        "sampling": {"acme_only": 7, "max_tokens": 3, "ignore_eos": True},
        "prompts": [[1, 2]],
    }


def command(*arguments, code=0):
    return plugtron(*arguments, check=code)


@pytest.fixture
def spec(tmp_path, values):
    (tmp_path / "run.json").write_text(json.dumps(values))
    return tmp_path / "run.json"


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_spec_runs_with_a_file(ranks, spec, file):
    done = command("run", spec, "--plugin", file, "--set", f"parallel.tensor={ranks}")
    assert json.loads(done.stdout)["tokens"] == [7, 7, 7]


def test_other_verbs_take_it_too(spec, file):
    assert "acme_only@acme_file.py" in command("schema", "--plugin", file).stdout
    assert "sampler acme_only" in command("components", "sampler", "--plugin", file, "--no-plugins").stdout
    assert command("show", spec, "--plugin", file).stdout.count("acme_only")
    without = command("check", spec, code=2)
    assert "no sampler 'acme_only'" in without.stderr


def test_followers_get_it(values, file):
    manager = PluginManager(files=[file])
    spec = spec_of({**values, "parallel": {"tensor": 2}})
    with assemble(spec, manager=manager) as session:
        params = SamplingParams.from_flat({"acme_only": 5, "max_tokens": 2, "ignore_eos": True})
        request = InferenceRequest(prompt=[1], params=params)
        list(session.run([request]))
    assert request.tokens == [5, 5]


def test_a_file_that_is_broken_ends_the_command(spec, tmp_path):
    for name, text, message in (
        ("acme_broken.py", "1 / 0", "plugin 'acme_broken' (acme_broken.py"),
        ("acme-broken.py", "", "acme-broken.py: a plugin's file is named as a module is"),
        ("json.py", "", "json.py: there is another module 'json'"),
    ):
        (tmp_path / name).write_text(text)
        assert message in command("check", spec, "--plugin", tmp_path / name, code=3).stderr


def test_objects_stay_in_their_process(values, file):
    manager = PluginManager(plugins=[load_file(file)])
    with pytest.raises(ParallelError, match=r"'acme_only' \(given 0\) is of a plugin object, which other processes"):
        assemble(spec_of({**values, "parallel": {"tensor": 2}}), manager=manager)
