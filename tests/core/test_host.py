"""The host with plugins given as objects: observers, complaints about a spec, records that are no records."""

import threading
import types

import pytest

import plugtron
from plugtron import Component, Problem, assemble
from plugtron.errors import PluginError, SpecError
from plugtron.plugin.component import Kind, params_model
from plugtron.plugin.discovery import Candidate
from plugtron.plugin.manager import PluginManager
from plugtron.request.request import InferenceRequest
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve, spec_of

VALUES = {"version": 1, "model": {"checkpoint": "smollm2-135m-instruct"}}


def plugin(**hooks):
    """A module with these functions as hook implementations."""
    module = types.ModuleType("given")
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, plugtron.hookimpl(function))
    return module


@pytest.fixture
def spec(random_model):
    return spec_of({"model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"}})


def test_observers_see_a_run(spec):
    seen = []
    observer = plugin(
        plugtron_run_started=lambda run: seen.append(("started", run.engine, run.world_size)),
        plugtron_request_finished=lambda request: seen.append(("finished", request.index, str(request.finish_reason))),
        plugtron_run_finished=lambda outcome: seen.append(("over", outcome.finished, outcome.failed)),
    )
    params = SamplingParams(temperature=0, max_tokens=2)
    with assemble(spec, manager=PluginManager(plugins=[observer])) as session:
        requests = [InferenceRequest(prompt=[1], params=params), InferenceRequest(prompt=[], index=1)]
        for _ in session.run(requests):
            pass
    assert seen[0] == ("started", "static", 1)
    assert sorted(seen[1:3]) == [("finished", 0, "length"), ("finished", 1, "error")]
    assert seen[3] == ("over", 1, 1)


def test_an_observer_that_raises_costs_a_warning(spec):
    def broken(run):
        raise RuntimeError("no network")

    with assemble(spec, manager=PluginManager(plugins=[plugin(plugtron_run_started=broken)], strict=False)) as session:
        request = InferenceRequest(prompt=[1], params=SamplingParams(temperature=0, max_tokens=2))
        with pytest.warns(RuntimeWarning, match="plugtron_run_started failed: RuntimeError: no network"):
            list(session.run([request]))
    assert request.error is None


def test_a_plugin_may_object_to_a_spec():
    objecting = plugin(plugtron_check_spec=lambda spec: [Problem("engine", f"not {spec.settings['engine']['name']}")])
    with pytest.raises(SpecError, match="engine: not static"):
        resolve(Source(values=dict(VALUES)), PluginManager(plugins=[objecting]))


@pytest.mark.parametrize(
    ("offered", "text"),
    [
        (["static"], "plugtron_engines returned 'static', which is no plugtron.Component"),
        (5, "plugtron_engines returned 5: return a list of plugtron.Component, [] for nothing"),
        (None, "plugtron_engines returned None: return a list of plugtron.Component, [] for nothing"),
        (Component(name="one", target="a:B"), "plugtron_engines returned one Component: return a list of"),
    ],
)
def test_records_that_are_none(offered, text):
    (given,) = PluginManager(plugins=[plugin(plugtron_engines=lambda: offered)], strict=False).failed()
    assert text in given.failure.error


def test_nobody_shadows_a_built_in_part():
    """A bare name is plugtron's own, and so is what `auto` finds."""
    shadow = plugin(
        plugtron_engines=lambda: [Component(name="static", target="acme.engine:Engine")],
        plugtron_tokenizers=lambda: [Component(name="acme", target="acme:T", provides=frozenset({"gguf"}))],
    )
    manager = PluginManager(plugins=[shadow])
    bare = resolve(Source(values=dict(VALUES)), manager)
    assert [chosen.offer.distribution for chosen in bare.components if chosen.offer.kind is Kind.ENGINE] == ["plugtron"]
    assert bare.spec.tokenizer.name in ("auto", "gguf")
    foreign = resolve(Source(values={**VALUES, "engine": "static@given"}), manager)
    assert foreign.spec.engine.name == "static@given"


def test_a_target_that_does_not_import_is_named_with_its_hint():
    component = Component(name="acme", target="acme_engine:Engine", install_hint="pip install acme-engine")
    manager = PluginManager(plugins=[plugin(plugtron_engines=lambda: [component])])
    with pytest.raises(
        PluginError, match=r"cannot import acme_engine:Engine: ModuleNotFoundError.*pip install acme-eng"
    ):
        manager.registry.find(Kind.ENGINE, "acme").load()


@pytest.mark.parametrize("values", [{"name": "Acme"}, {"target": "acme"}, {"options": "acme options"}])
def test_components_are_well_formed(values):
    with pytest.raises(ValueError, match="component"):
        Component(**{"name": "acme", "target": "acme:Engine", **values})


def test_params_must_have_defaults():
    class Needy(plugtron.Params):
        acme: int

    with pytest.raises(ValueError, match="parameter 'acme' must have a default"):
        params_model(Needy)


def test_an_installed_reader_that_is_broken_stops_nobody(default_model, tmp_path):
    broken = plugin(plugtron_checkpoints=lambda: [Component(name="acme", target="acme_reader:Reader")])
    manager = PluginManager(plugins=[broken])
    assert resolve(Source(values=dict(VALUES)), manager).reader.name == "gguf"
    (tmp_path / "model.acme").touch()
    values = {"model": {"checkpoint": str(tmp_path / "model.acme")}}
    with pytest.raises(PluginError, match=r"is read by nobody; checkpoint 'acme' \(given 0\) failed"):
        resolve(Source(values=values), manager)


def test_options_that_do_not_import_are_the_plugins_fault():
    component = Component(name="acme", target="acme:Engine", options="acme_options:Options")
    given = plugin(plugtron_engines=lambda: [component])
    with pytest.raises(PluginError, match=r"engine: engine 'acme' \(given 0\): cannot import its options"):
        resolve(Source(values={**VALUES, "engine": "acme"}), PluginManager(plugins=[given]))


def test_what_hooks_print_goes_to_standard_error(spec, capsys):
    plugins = [plugin(plugtron_run_started=lambda run: print("loud"), plugtron_samplers=lambda: print("offered") or [])]
    with assemble(spec, manager=PluginManager(plugins=plugins)) as session:
        list(session.run([InferenceRequest(prompt=[1], params=SamplingParams(temperature=0, max_tokens=2))]))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["offered", "loud"]


@pytest.mark.parametrize("raised", [SystemExit(3), GeneratorExit(), BaseException("odd")])
def test_a_hook_that_would_end_the_process_costs_a_warning(raised, spec):
    def ending(run):
        raise raised

    with assemble(spec, manager=PluginManager(plugins=[plugin(plugtron_run_started=ending)], strict=False)) as session:
        request = InferenceRequest(prompt=[1], params=SamplingParams(temperature=0, max_tokens=2))
        with pytest.warns(RuntimeWarning, match="plugtron_run_started failed"):
            list(session.run([request]))
    assert request.error is None


def test_a_plugin_that_ends_the_process_when_it_is_asked_is_a_record():
    def ending():
        raise SystemExit("no license")

    (failed,) = PluginManager(plugins=[plugin(plugtron_samplers=ending)], strict=False).failed()
    assert failed.failure.error == "SystemExit: no license"


def test_observers_get_a_copy(spec):
    def rewriting(request):
        request.error = "rewritten"
        request.tokens.append(7)
        request.sequences[0].text = "rewritten"
        request.prompt.append(9)
        request.prompt_tokens.clear()

    with assemble(spec, manager=PluginManager(plugins=[plugin(plugtron_request_finished=rewriting)])) as session:
        request = InferenceRequest(prompt=[1], params=SamplingParams(temperature=0, max_tokens=2))
        list(session.run([request]))
    assert (request.error, len(request.tokens), request.prompt, request.prompt_tokens) == (None, 2, [1], [1])
    assert request.sequences[0].text != "rewritten"


def test_a_plugin_that_hangs_at_import_is_named(capsys, monkeypatch):
    monkeypatch.setattr("plugtron.plugin.slow_imports._SLOW_S", 0.05)
    said = threading.Event()
    slow = Candidate(name="acme", distribution="acme-slow", version="1", load=lambda: said.wait(30) and plugin())
    monkeypatch.setattr("plugtron.plugin.manager.find", lambda: [slow])

    class Told:
        def write(self, text):
            if "acme (acme-slow) is being imported for" in text:
                said.set()

        def flush(self):
            pass

    monkeypatch.setattr("sys.stderr", Told())
    PluginManager(strict=False)
    assert said.is_set()


def test_observers_get_options_statistics_and_steps(random_model):
    class Wanted(plugtron.Options):
        every: int = 1

    seen = []
    observer = plugin(
        plugtron_run_started=lambda run, options: seen.append(("started", options.every)),
        plugtron_step_finished=lambda stats: seen.append(("step", stats["steps"], stats["running"])),
        plugtron_run_finished=lambda run, outcome, options: seen.append(("finished", outcome.stats["tokens"])),
    )
    observer.PLUGTRON_OPTIONS = Wanted
    manager = PluginManager(plugins=[observer])
    values = {"model": {"checkpoint": str(random_model("llama_untied")[1]), "dtype": "float32"}}
    name = manager.plugins[-1].name
    given = spec_of({**values, "engine": "dynamic", "plugins": {"options": {name: {"every": 5}}}})
    with assemble(given, manager=manager) as session:
        requests = [InferenceRequest(prompt=[1, 2], params=SamplingParams(temperature=0, max_tokens=3))]
        list(session.run(requests))
    steps = [entry for entry in seen if entry[0] == "step"]
    assert seen[0] == ("started", 5)
    assert steps[:2] == [("step", 1, 1), ("step", 2, 1)]
    assert seen[-1] == ("finished", 4)
    for wrong, message in (
        (
            {name: {"evry": 5}},
            rf"plugins.options.{name}.evry: no such option \(accepted: every\)",
        ),
        ({"core": {}}, rf"plugins.options.core: no plugin of this name takes options \(those that do: {name}\)"),
    ):
        with pytest.raises(SpecError, match=message):
            resolve(Source(values={**values, "plugins": {"options": wrong}}), manager)
