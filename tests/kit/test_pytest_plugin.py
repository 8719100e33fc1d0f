"""The pytest plugin: fixtures, expected failures, reports, with and without xdist, and nothing where nobody asks."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from faults import run_classes

_CLASS = """
from plugtron import Kind
from plugtron.testing import ComponentChecks

class TestMinP(ComponentChecks):
    kind = Kind.SAMPLER
    component = "min_p"
    {said}
"""
#: Those that start no process.
_QUICK = ("-k", "schema_generates or options_are_valid or has_a_summary", "-p", "no:cacheprovider")


def test_it_is_idle_until_asked(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            loaded = {name for name in sys.modules if name.startswith("plugtron.")}
            assert loaded <= {"plugtron.testing", "plugtron.testing.pytest_plugin", "plugtron.utils",
                              "plugtron.utils.lazy", "plugtron.errors"}
            assert not {"torch", "pydantic", "numpy", "yaml", "transformers"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_fixtures(pytester):
    pytester.makepyfile(
        """
        import os

        import plugtron
        from plugtron.spec.load import read
        from plugtron.spec.resolution import parse
        from plugtron.testing import Host

        def test_spec(plugtron_spec, plugtron_model):
            folder = plugtron_model("padded")
            path = plugtron_spec(model={"checkpoint": str(folder), "dtype": "float32"}, engine="static", seed=3)
            spec = parse(read(path))
            assert spec.seed == 3
            with plugtron.assemble(spec) as session:
                assert session.resolved.spec.engine.name == "static"
                assert len(session.engine.generate([[1, 2, 3]])[0].tokens) > 0
            assert plugtron_model("padded") is folder

        def test_ranks(plugtron_ranks):
            assert plugtron_ranks(2, os.getenv, "RANK") == ["0", "1"]

        def test_hooks(plugtron_hooks, plugtron_model):
            model = {"checkpoint": str(plugtron_model()), "dtype": "float32"}
            with Host(plugtron_hooks).session({"model": model, "engine": "static"}) as session:
                requests = [plugtron.InferenceRequest(prompt=[1, 2]), plugtron.InferenceRequest(prompt=[10**6])]
                for _ in session.run(requests):
                    pass
            names = [name for name, _ in plugtron_hooks.calls]
            assert names[0] == "plugtron_run_started"
            assert names[-1] == "plugtron_run_finished"
            assert {"plugtron_step_finished", "plugtron_request_finished"} == set(names[1:-1])
            failed, done = plugtron_hooks.of("plugtron_request_finished")
            assert failed["request"].error
            assert done["request"].tokens == requests[0].tokens
            assert plugtron_hooks.of("plugtron_run_finished")[0]["outcome"].failed == 1

        def test_host(plugtron_host):
            assert plugtron_host.plugins == ()
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_an_expected_failure(pytester):
    lines = [
        "plugin = 'faulty_samplers'",
        "component = 'narrows'",
        "cases = ({'fault': 1.5},)",
        "expected_failures = {'shapes': 'it narrows', 'has_a_summary': 'it had none'}",
    ]
    found = run_classes(
        pytester, "SamplerChecks", {"narrows": lines}, {"narrows": {"shapes", "has_a_summary", "no_rows"}}
    )
    checks = {check["check"]: check for check in json.loads((pytester.path / "report.json").read_text())["checks"]}
    assert (checks["shapes"]["outcome"], checks["shapes"]["reason"]) == ("expected failure", "it narrows")
    # One that passes is a failure, too: what was mended is to be said.
    assert found["narrows"]["has_a_summary"] == "[XPASS(strict)] it had none"


def test_an_expected_failure_of_no_check(pytester):
    pytester.makepyfile(_CLASS.format(said="expected_failures = {'shape': 'why'}"))
    result = pytester.runpytest_inprocess(*_QUICK)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*TestMinP.expected_failures: shape is no check of it*"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_report(pytester, workers):
    pytester.makepyfile(test_min_p=_CLASS.format(said="options = {'size': 3}"))
    result = pytester.runpytest_subprocess(
        *_QUICK, *workers, "--plugtron-report", "report.json", "--junitxml", "junit.xml"
    )
    result.assert_outcomes(passed=2, failed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    assert set(report) == {"python", "versions", "api", "checks"}
    assert set(report["versions"]) >= {"plugtron", "torch", "pytest"}
    checks = {check.pop("check"): check for check in report["checks"]}
    assert set(checks) == {"schema_generates", "options_are_valid", "has_a_summary"}
    assert checks["schema_generates"].pop("seconds") < 60
    assert checks["schema_generates"] == {
        "plugin": "plugtron",
        "component": "sampler min_p",
        "test": "test_min_p.py::TestMinP::test_schema_generates",
        "outcome": "passed",
        "reason": "",
        "figures": {},
    }
    assert checks["options_are_valid"]["outcome"] == "failed"
    assert checks["options_are_valid"]["reason"].startswith("option size of ")
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    properties = [{each.get("name"): each.get("value") for each in case.iter("property")} for case in cases]
    assert {
        "plugtron_plugin": "plugtron",
        "plugtron_component": "sampler min_p",
        "plugtron_check": "schema_generates",
    } in (properties)
