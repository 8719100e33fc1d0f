"""Real distributions, built and installed with pip: one works, the others are survived and reported."""

import json

import pytest

from plugtron.spec.model import DEFAULT_CHAIN

SPEC = """\
version: 1
model: {checkpoint: MODEL, dtype: float32}
samplers: [default, SAMPLER]
sampling: {temperature: 0, max_tokens: 12}
prompts: ["The capital of France is"]
"""


@pytest.fixture
def spec(tmp_path, default_model):
    def write(sampler, extra=""):
        path = tmp_path / "run.yaml"
        path.write_text(SPEC.replace("MODEL", str(default_model)).replace("SAMPLER", sampler) + extra)
        return path

    return write


@pytest.fixture(scope="module")
def states(acme):
    records = json.loads(acme.plugtron("plugins", "--json", check=0).stdout)
    return {record["name"]: record for record in records}


def test_good_plugin_is_active(states):
    assert states["acme"]["state"] == "active"
    assert states["acme"]["version"] == "1.2.0"
    assert states["acme"]["components"] == [{"kind": "sampler", "name": "acme_ban"}]


@pytest.mark.parametrize(
    ("name", "stage", "error"),
    [
        ("acme_broken_import", "import", "No module named 'a_module_that_is_not_there'"),
        ("acme_misspelt", "registration", "Did you mean 'plugtron_samplers'?"),
        ("acme_raising", "its hooks", "RuntimeError: the license server is down"),
        (
            "acme_requires",
            "its requirements",
            "requires plugtron<10,>=9; plugtron 0.1.0 is installed: pip install 'plugtron<10,>=9'",
        ),
        ("acme_future", "registration", "asks for plugin API 99; this plugtron offers 1: upgrade plugtron"),
    ],
)
def test_broken_plugin_is_survived_and_reported(name, stage, error, states, acme):
    assert states[name]["state"] == "failed"
    assert states[name]["failure"]["stage"] == stage
    assert error in states[name]["failure"]["error"]
    assert error in acme.plugtron("plugins", check=0).stdout
    shown = acme.plugtron("plugins", "show", name, "-v", check=0).stdout
    assert error in shown
    assert "Traceback" not in acme.plugtron("plugins", "show", name, check=0).stdout
    # A traceback has the plugin's own frames; what plugtron itself objects to has none.
    assert ("Traceback" in shown) == (name in ("acme_broken_import", "acme_raising"))


def test_the_doctor_names_what_is_broken_and_says_what_to_do(acme):
    lines = json.loads(acme.plugtron("doctor", "--json", check=0).stdout)
    said = {line["topic"]: line for line in lines if line["status"] != "ok"}
    for name, distribution, text in (
        ("acme_broken_import", "acme-broken-import", "No module named 'a_module_that_is_not_there'"),
        ("acme_misspelt", "acme-misspelt", "Did you mean 'plugtron_samplers'?"),
        ("acme_raising", "acme-raising", "the license server is down"),
        ("acme_future", "acme-future", "this plugtron offers 1: upgrade plugtron"),
        ("acme_requires", "acme-requires", "pip install 'plugtron<10,>=9'"),
    ):
        line = said.pop(f"plugin '{name}' ({distribution} 1.2.0)")
        assert line["status"] == "fail"
        assert text in line["text"]
        assert f"plugtron plugins show {name} -v; mend it, or pip uninstall {distribution}" in line["remedy"]
    clash = said.pop("sampler 'acme_clash'")
    assert clash["text"] == "is offered by acme-clash-one, acme-clash-two"
    assert "write 'acme_clash@acme-clash-one' or 'acme_clash@acme-clash-two'" in clash["remedy"]
    assert set(said) <= {"compiler", "devices", "triton"}  # what may be wrong with the machine itself
    topics = {line["topic"] for line in lines}
    assert {"python", "torch", "compiler", "packed weights", "compiled kernels", "models", "default model"} <= topics
    assert "fail  plugin 'acme_future'" in acme.plugtron("doctor", "--strict", check=1).stdout


def test_installed_plugins_are_checked(acme):
    fine = acme.plugtron("plugins", "check", "acme", check=0)
    assert fine.stdout.startswith("ok: plugin 'acme' (acme-samplers 1.2.0): 1 component, imported in ")
    broken = acme.plugtron("plugins", "check", "acme_requires", check=3)
    assert "error: plugin 'acme_requires' (acme-requires 1.2.0): failed at its requirements" in broken.stdout


@pytest.mark.wide
def test_ranks_of_different_plugins_are_found_by_the_doctor(acme, tmp_path):
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import os, sys\n"
        "from plugtron.cli import main\n"
        "sys.argv += ['--no-plugin', 'acme'] if os.environ['RANK'] == '1' else []\n"
        "main()\n"
    )
    done = acme.run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", launcher, "doctor", check=0)
    text = "fail  ranks: rank 1 has plugin acme (acme-samplers) 1.2.0, disabled, rank 0 1.2.0, active"
    assert text in done.stdout


def test_a_plugin_that_fails_offers_nothing(acme):
    assert "acme_engine" not in acme.plugtron("components", "engine", check=0).stdout


def test_strict_raises_what_the_plugin_raises(acme):
    done = acme.plugtron("plugins", PLUGTRON_STRICT="1")
    assert done.returncode == 1
    assert "a_module_that_is_not_there" in done.stderr


def test_sampler_of_a_package_runs_with_its_own_parameter(acme, spec):
    plain = acme.plugtron("run", spec("acme_ban"), check=0)
    banned = acme.plugtron("run", spec("acme_ban"), "--set", "sampling.acme_ban=Paris", check=0)
    assert "Paris" in json.loads(plain.stdout)["text"]
    assert "Paris" not in json.loads(banned.stdout)["text"]
    assert "acme_broken_import" in plain.stderr  # said, and survived


def test_parameter_of_a_package_is_validated(acme, spec):
    done = acme.plugtron("check", spec("acme_ban"), "--set", "sampling.acme_ban=[1]", "--no-plugin", "acme_future")
    assert done.returncode == 2
    assert "--set: sampling.acme_ban: must be a text (got [1])" in done.stderr
    misspelt = acme.plugtron("check", spec("acme_ban"), "--set", "sampling.acme_bna=x")
    assert misspelt.returncode == 2
    assert "sampling.acme_bna: no such parameter. Did you mean 'acme_ban'?" in misspelt.stderr


def test_a_parameter_names_the_plugin_that_would_supply_it(acme, spec):
    done = acme.plugtron("check", spec("default"), "--set", "sampling.acme_ban=x", "--no-plugin", "acme_future")
    assert done.returncode == 2
    text = "no part of this run uses it. sampler 'acme_ban' (acme-samplers 1.2.0) would: add it to samplers"
    assert f"sampling.acme_ban: {text}" in done.stderr
    script = (
        "from plugtron import SamplingParams; from plugtron.plugin.manager import PluginManager; "
        "print(PluginManager().add_attributes(SamplingParams(), {'acme_ban': 'x'}).extra)"
    )
    assert acme.run("-c", script, check=0).stdout == "{'acme_ban': 'x'}\n"
    unknown = acme.run("-c", script.replace("acme_ban", "acme_broken_parameter"))
    assert "no installed sampler declares it" in unknown.stderr
    assert "May be provided by: plugin" in unknown.stderr


def test_needed_plugin_that_failed_is_fatal(acme, spec):
    done = acme.plugtron("check", spec("needed_from_somewhere"))
    assert done.returncode == 3
    assert "no sampler 'needed_from_somewhere'" in done.stderr
    assert "plugin 'acme_broken_import' (acme-broken-import 1.2.0) failed at import" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        ("acme-samplers>=2", "acme-samplers 1.2.0 is installed, >=2 is required"),
        ("acme-missing", "acme-missing is not installed: pip install 'acme-missing'"),
        ("acme-broken-import", "plugin 'acme_broken_import' (acme-broken-import 1.2.0) failed at import"),
        ("click", "is installed and holds no plugtron plugin"),
    ],
)
def test_requirements(requirement, text, acme, spec):
    done = acme.plugtron("check", spec("acme_ban", f'plugins: {{require: ["{requirement}"]}}\n'))
    assert done.returncode == 3
    assert text in done.stderr
    assert "run.yaml:6: plugins.require.0" in done.stderr


def test_requirement_that_holds(acme, spec):
    acme.plugtron("check", spec("acme_ban", 'plugins: {require: ["acme-samplers>=1.2"]}\n'), check=0)


def test_clash_is_an_error_only_for_who_uses_the_name(acme, spec):
    acme.plugtron("check", spec("acme_ban"), check=0)
    done = acme.plugtron("check", spec("acme_clash"))
    assert done.returncode == 3
    assert "write 'acme_clash@acme-clash-one' or 'acme_clash@acme-clash-two'" in done.stderr
    acme.plugtron("check", spec("acme_clash@acme-clash-two"), check=0)
    shown = acme.plugtron("show", spec("acme_clash@acme-clash-two"), check=0).stdout
    assert "- acme_clash@acme-clash-two" in shown


def test_disabling(acme, spec):
    others = [f"--no-plugin={name}" for name in ("acme_clash_one", "acme_clash_two", "acme-broken-import")]
    by_option = acme.plugtron("check", spec("acme_ban"), "--no-plugin", "acme", *others)
    assert by_option.returncode == 3  # one of the plugins that are still broken may have it
    assert "acme_broken_import" not in by_option.stderr
    by_spec = acme.plugtron("check", spec("acme_ban", "plugins: {disable: [acme-samplers]}\n"), *others)
    assert by_spec.returncode == 3
    only_builtins = acme.plugtron("check", spec("acme_ban"), "--no-plugins")
    assert only_builtins.returncode == 2
    assert "no sampler 'acme_ban'" in only_builtins.stderr


def test_schema_has_what_is_installed(acme):
    schema = json.loads(acme.plugtron("schema", check=0).stdout)
    assert "acme_ban" in schema["properties"]["sampling"]["properties"]
    names = schema["properties"]["samplers"]["items"]["anyOf"][0]["enum"]
    assert {"default", "acme_ban", "acme_clash", "acme_clash@acme-clash-one", "top_p"} <= set(names)


def test_ranks_with_different_plugins_stop_with_one_message(acme, spec, tmp_path):
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import os, sys\n"
        "from plugtron.cli import main\n"
        "sys.argv += ['--no-plugin', 'acme-clash-' + ('one' if os.environ['RANK'] == '1' else 'two')]\n"
        "main()\n"
    )
    path = spec("acme_clash")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", launcher]
    done = acme.run(*torchrun, "run", path, "--set", "parallel.tensor=3")
    assert done.returncode != 0
    where = f"rank 1 has, as sampler {len(DEFAULT_CHAIN)}, "
    assert where + "acme_clash (acme-clash-two 1.2.0) with {}; rank 0 has acme_clash" in done.stderr
