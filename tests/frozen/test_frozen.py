"""What was written for an API version still works: specs resolve, plugins load and run."""

import sys
from pathlib import Path

import pytest

from plugtron.plugin.manager import PluginManager
from plugtron.request import InferenceRequest, SamplingParams
from plugtron.spec.load import read
from plugtron.spec.resolution import resolve
from plugtron.testing import Host

VERSIONS = sorted(path for path in Path(__file__).parent.glob("api_*") if path.is_dir())
SPECS = [path for version in VERSIONS for path in sorted((version / "specs").iterdir())]
PLUGINS = [path for version in VERSIONS for path in sorted((version / "plugins").iterdir())]
#: What a spec says of each plugin's parts.
USES = {
    "frozen_sampler": {"samplers": ["default", "frozen_ban"], "sampling": {"frozen_ban": "a"}},
    "frozen_kinds": {"execution": "frozen_loud"},
    "frozen_wrapper": {},
}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_specs(path):
    resolve(read(path), PluginManager(builtins_only=True))


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_plugins(path, monkeypatch, plugtron_model):
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    host = Host(path.name)
    for offer in host.manager.registry.offers():
        if offer.plugin in host.plugins:
            offer.load()
            offer.options_model()
            offer.params_model()
    values = {"model": {"checkpoint": str(plugtron_model()), "dtype": "float32"}, **USES[path.name]}
    with host.session(values) as session:
        request = InferenceRequest(prompt=[1, 2, 3], params=SamplingParams(temperature=0, max_tokens=3))
        for _ in session.run([request]):
            pass
    assert request.error is None
    assert request.tokens
