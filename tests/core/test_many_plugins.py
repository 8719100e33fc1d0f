"""Fifty distributions that are installed and not named: no target is imported, and no run is changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plugtron.errors import SpecError
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve

COUNT = 50
MODULE = """
from plugtron import Component, hookimpl

TARGET = "acme_target_{0}:Part"


@hookimpl
def plugtron_engines():
    return [Component(name=name, target=TARGET) for name in ("static", "dynamic", "acme_{0}")]


@hookimpl
def plugtron_samplers():
    return [Component(name=name, target=TARGET, params="acme_target_{0}:Params") for name in ("top_p", "acme_{0}")]


@hookimpl
def plugtron_tokenizers():
    return [Component(name="gguf", target=TARGET, options="acme_target_{0}:Options", provides=frozenset({{"gguf"}}))]


@hookimpl
def plugtron_wrappers():
    provides = frozenset({{"gguf/llama", "huggingface/LlamaForCausalLM"}})
    return [Component(name="llama", target=TARGET, provides=provides)]


@hookimpl
def plugtron_executions():
    return [Component(name=name, target=TARGET) for name in ("native", "eager", "graph")]
"""
SCRIPT = """
import json, sys, time
from plugtron.plugin import hookspecs, options
from plugtron.plugin.manager import PluginManager
begin = time.perf_counter()
manager = PluginManager()
seconds = time.perf_counter() - begin
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve
resolved = resolve(Source(values=json.loads(sys.argv[1])), manager)
print(json.dumps({
    "seconds": seconds,
    "plugins": len(manager.plugins),
    "failed": [plugin.failure.error for plugin in manager.failed()],
    "targets": [name for name in sys.modules if name.startswith("acme_target")],
    "spec": resolved.spec.model_dump(mode="json"),
    "components": [[chosen.offer.qualified, chosen.offer.component.target] for chosen in resolved.components],
}))
"""


@pytest.fixture
def installed(tmp_path):
    for number in range(COUNT):
        (tmp_path / f"acme_{number}.py").write_text(MODULE.format(number))
        (tmp_path / f"acme_target_{number}.py").write_text("raise RuntimeError('imported')\n")
        folder = tmp_path / f"acme_{number}-1.0.dist-info"
        folder.mkdir()
        head = f"Metadata-Version: 2.1\nName: acme-{number}\nVersion: 1.0\nRequires-Dist: plugtron>=0.1\n"
        (folder / "METADATA").write_text(f"{head}\n{'Text. ' * 200}")
        (folder / "entry_points.txt").write_text(f"[plugtron]\nacme_{number} = acme_{number}\n")
    return tmp_path


def test_plugins_that_nobody_names_change_nothing(installed, random_model):
    values = {
        "version": 1,
        "model": {"checkpoint": str(random_model("llama_untied")[1])},
        "engine": "dynamic",
        "execution": "eager",
        "samplers": ["default"],
        "sampling": {"top_p": 0.5},
    }

    def resolved_with(*paths):
        path = os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-c", SCRIPT, json.dumps(values)]
        return json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": path}))

    without, beside = resolved_with(), resolved_with(installed)
    print(f"discovery: {without['seconds'] * 1000:.0f} ms, with {COUNT} more {beside['seconds'] * 1000:.0f} ms")
    assert beside["plugins"] == without["plugins"] + COUNT
    assert beside["failed"] == beside["targets"] == []
    assert (beside["spec"], beside["components"]) == (without["spec"], without["components"])


def test_examples_are_where_the_index_says_they_are():
    root = Path(__file__).parents[2]
    index = json.loads((root / "core" / "plugtron" / "plugin" / "known_packages.json").read_text())
    for names in index.values():
        for name, package in names.items():
            sources = (root / "examples" / "plugins" / package).rglob("*.py")
            assert any(f'"{name}"' in source.read_text() for source in sources), (name, package)


def test_what_nobody_here_provides_is_answered_with_the_package_that_does(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["StableLmForCausalLM"]}))
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    for values, text in (
        (
            {"model": {"checkpoint": str(tmp_path)}},
            r"runs huggingface/StableLmForCausalLM .* package plugtron-stablelm",
        ),
        ({"engine": "llamacpp"}, r"no engine 'llamacpp' \(installed: dynamic, static\). The package plugtron-llamacpp"),
    ):
        with pytest.raises(SpecError, match=text):
            source = {"model": {"checkpoint": "smollm2-135m-instruct"}, **values}
            resolve(Source(values=source), PluginManager(builtins_only=True))
