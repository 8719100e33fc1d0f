"""What authors get wrong before anything is built: each mistake is one message, when the plugin is loaded."""

import sys
import types

import pytest

import plugtron
from plugtron import Component, Need
from plugtron.errors import PluginError
from plugtron.plugin.api_version import check_requirements
from plugtron.plugin.manager import PluginManager
from plugtron.spec.resolution import spec_of


def plugin(**members):
    """A module with these members; those that are named like a hook are marked."""
    module = types.ModuleType("given")
    for name, member in members.items():
        setattr(module, name, plugtron.hookimpl(member) if name.startswith("plugtron_") else member)
    return module


def failure(given):
    (failed,) = PluginManager(plugins=[given], strict=False).failed()
    return f"{failed.failure.stage}: {failed.failure.error}"


def nothing():
    """Offer nothing."""
    return []


async def late(run):
    """Nobody awaits it."""


@pytest.mark.parametrize(
    ("hook", "function", "text"),
    [
        ("plugtron_run_started", lambda run, options=None: 0, "'options' has a default, and would never be passed"),
        ("plugtron_run_started", lambda *, run: 0, "argument 'run' is keyword-only (accepted: run, options)"),
        ("plugtron_run_started", lambda rum: 0, "argument 'rum' is none that the hook passes"),
        ("plugtron_run_started", lambda rum: 0, "(accepted: run, options). Did you mean 'run'?"),
        ("plugtron_run_started", lambda **run: 0, "argument 'run' takes any keywords"),
        ("plugtron_run_started", lambda *run: 0, "argument 'run' takes any number of arguments"),
        ("plugtron_run_started", late, "plugtron_run_started is a coroutine function, which nobody awaits"),
        ("plugtron_samplers", lambda spec: [], "argument 'spec' is none that the hook passes (it takes none)"),
    ],
)
def test_a_hook_that_could_not_be_called_as_it_is_written(hook, function, text):
    found = failure(plugin(**{hook: function}))
    assert found.startswith(f"registration: TypeError: {hook}")
    assert text in found


def test_a_hook_that_is_not_marked():
    given = plugin(plugtron_engines=nothing)
    given.plugtron_samplers = plugin
    assert "plugtron_samplers is not marked: put @plugtron.hookimpl before it" in failure(given)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (2, "asks for plugin API 2; this plugtron offers 1: upgrade plugtron"),
        ((2, 3), "asks for plugin API 2 to 3; this plugtron offers 1: upgrade plugtron"),
        ((0, 0), "asks for plugin API 0; this plugtron offers 1: upgrade given"),
        ((2, 1), "PLUGTRON_API is (2, 1) (accepted: the least API, or a pair: the least and the greatest)"),
        ("1", "PLUGTRON_API is '1' (accepted: the least API, or a pair: the least and the greatest)"),
    ],
)
def test_an_api_range_that_does_not_fit(declared, text):
    assert text in failure(plugin(PLUGTRON_API=declared, plugtron_engines=nothing))


@pytest.mark.parametrize("declared", [1, 0, (1, 1), (0, 1), (1, 7)])
def test_an_api_range_that_fits(declared):
    assert not PluginManager(plugins=[plugin(PLUGTRON_API=declared, plugtron_engines=nothing)]).failed()


@pytest.mark.parametrize(
    ("requires", "text"),
    [
        ("plugtron>=9", "requires plugtron>=9; plugtron 0.1.0 is installed: pip install 'plugtron>=9'"),
        ("Plugtron[hub] (<0.1)", "requires plugtron<0.1; plugtron 0.1.0 is installed: upgrade acme"),
        ("plugtron==2.*; python_version > '3'", "requires plugtron==2.*; plugtron 0.1.0 is installed: pip install"),
    ],
)
def test_a_requirement_of_another_plugtron(requires, text):
    with pytest.raises(RuntimeError, match="requires plugtron") as found:
        check_requirements(["click>=99", requires], "acme", "0.1.0")
    assert text in str(found.value)


def test_requirements_that_hold():
    fine = ["plugtron", "plugtron>=0.1,<2", "plugtron-else>=9", "plugtron>=9; extra == 'later'", "click>=99"]
    check_requirements(fine, "acme", "0.1.0")


@pytest.mark.parametrize(
    ("hook", "component", "text"),
    [
        ("plugtron_samplers", {"needs": {"tokeniser"}}, "needs 'tokeniser' (accepted: checkpoint, tokenizer, wrapper,"),
        ("plugtron_samplers", {"needs": "tokenizer"}, "(accepted: checkpoint, tokenizer, wrapper, samplers, contro"),
        ("plugtron_wrappers", {"provides": "huggingface/Acme"}, "provides is a text, and must be a set of them"),
        (
            "plugtron_samplers",
            {"needs": {Need.CONTROLLER}},
            "sampler 'acme' needs controller, which is not built before a sampler (accepted: checkpoint, tokenizer, wr",
        ),
        ("plugtron_commands", {"needs": {Need.WRAPPER}}, "which is not built before a command (accepted: none)"),
    ],
)
def test_needs_that_cannot_be_met(hook, component, text):
    assert text in failure(plugin(**{hook: lambda: [Component(name="acme", target="acme:Acme", **component)]}))


def test_one_name_twice():
    twice = plugin(plugtron_samplers=lambda: [Component(name="acme", target="acme:Acme")] * 2)
    assert "offers 2 samplers 'acme', which no spec could tell apart" in failure(twice)


class Engine:
    """Takes what nobody has built."""

    @classmethod
    def assemble(cls, parts, options):
        return parts.controller.tokenizer


def test_a_need_that_is_forgotten(random_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "acme_forgetful", types.SimpleNamespace(Engine=Engine))
    component = Component(name="acme", target="acme_forgetful:Engine")
    spec = spec_of({"model": {"checkpoint": str(random_model("llama_untied")[1])}, "engine": "acme"})
    text = r"engine 'acme' \(given 0\) asks for parts.controller, which nothing has built: its Component must say so, "
    with pytest.raises(PluginError, match=text + r"needs=frozenset\(\{Need.CONTROLLER\}\)"):
        plugtron.assemble(spec, manager=PluginManager(plugins=[plugin(plugtron_engines=lambda: [component])]))
