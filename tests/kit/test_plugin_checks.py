"""What holds for plugins and components of every kind: what importing a module does, and what a component says."""

import pytest
import torch
from faults import assert_caught, checks_of, run_classes

#: A plugin with a component that is in order; what is planted stands in the places.
_SOURCE = """
from plugtron import Component, Options, Params, hookimpl
from plugtron.contracts import Sampler
{before}

class Amount(Params):
    amount: float | None = None

class Own(Options):
    size: int = 1
{options}

class Thing(Sampler):
    params = Amount

    @classmethod
    def assemble(cls, parts, options):
        return cls()

    def apply(self, candidates):
        return candidates

@hookimpl
def plugtron_samplers():
    said = dict(name="thing", target=__name__ + ":Thing", options=Own, params=Amount, summary="a thing")
    return [Component(**{{**said, **dict({said})}})]
{after}
"""
_MADE_UP = """
import sys, types
sys.modules["made_up"] = types.ModuleType("made_up")
class Elsewhere:
    pass
sys.modules["made_up"].Elsewhere = Elsewhere
"""
_HOOK = "\n@hookimpl\ndef plugtron_run_started({parameters}):\n    pass\n"
#: What is planted, by the name of the module: places of _SOURCE.
PLANTED = {
    "right": {},
    "lacks_a_module": {"before": "import no_such_module"},
    "imports_torch": {"before": "import torch"},
    "prints": {"before": "print('welcome')"},
    "complains": {"before": "import sys; print('no license', file=sys.stderr)"},
    "starts_a_program": {"before": "import subprocess; subprocess.run(['/bin/echo', 'started'])"},
    "sleeps": {"before": "import time; time.sleep(0.5)"},
    "defaults": {"after": _HOOK.format(parameters="run=None")},
    "keywords": {"after": _HOOK.format(parameters="*, run")},
    "other_name": {"said": "name='other'"},
    "typo": {"said": "target=__name__ + ':Thin'"},
    "wrong_default": {"options": "    depth: int = 'deep'"},
    "required": {"options": "    path: str"},
    "takes_functions": {
        "options": "    function: type(len) = len\n    model_config = {'arbitrary_types_allowed': True}"
    },
    "no_summary": {"said": "summary=''"},
    "long_summary": {"said": "summary='one\\ntwo'"},
    "needs_a_cache": {"said": "needs=frozenset({'cache'})"},
    "made_here": {"before": _MADE_UP, "said": "target='made_up:Elsewhere'"},
}
FAULTS = {
    "right": None,
    "lacks_a_module": ("imports", "importing lacks_a_module fails: ModuleNotFoundError"),
    "imports_torch": ("imports_without_torch", "importing imports_torch imports torch"),
    "prints": ("imports_quietly", "importing prints prints 'welcome'"),
    "complains": ("imports_quietly", "importing complains prints 'no license'"),
    "starts_a_program": ("imports_quietly", "importing starts_a_program prints 'started'"),
    "sleeps": ("imports_fast", "s (accepted: 0.3 s)"),
    "defaults": ("loads", "argument 'run' has a default"),
    "keywords": ("loads", "argument 'run' is keyword-only"),
    "other_name": ("is_offered", "the plugin offers no sampler 'thing' (offered: other)"),
    "typo": ("is_offered", "has no 'Thin'. Did you mean 'Thing'?"),
    "wrong_default": ("options_are_valid", "option depth of Own is refused with 'deep'"),
    "required": ("options_are_valid", "option path of Own is refused"),
    "takes_functions": ("schema_generates", "no JSON Schema can be made of Own"),
    "no_summary": ("has_a_summary", "summary is ''"),
    "long_summary": ("has_a_summary", "summary is 'one\\ntwo'"),
    "needs_a_cache": ("loads", "component 'thing': needs 'cache' (accepted: checkpoint"),
    "made_here": ("survives_spawn", "made_up:Elsewhere cannot be imported in a process of its own"),
}
_LINES = ("kind = plugtron.Kind.SAMPLER", "component = 'thing'")


def _write(pytester, planted):
    places = dict.fromkeys(("before", "options", "said", "after"), "")
    pytester.makepyfile(**{name: _SOURCE.format(**{**places, **planted[name]}) for name in planted})
    return {name: [f"plugin = {name!r}", *_LINES] for name in planted}


def _all_checks():
    return checks_of("ComponentChecks", "Host")


def test_every_check_catches_something():
    assert _all_checks() - {"starts_no_cuda"} == {fault[0] for fault in FAULTS.values() if fault}


def test_faults(pytester):
    classes = _write(pytester, PLANTED)
    chosen = {name: _all_checks() if fault is None else {fault[0]} for name, fault in FAULTS.items()}
    assert_caught(run_classes(pytester, "ComponentChecks", classes, chosen, "plugtron"), FAULTS)


@pytest.mark.gpu
def test_a_module_that_starts_cuda(pytester):
    assert torch.cuda.is_available()
    planted = {"starts": {"before": "import torch; torch.cuda.init()"}}
    found = run_classes(
        pytester, "ComponentChecks", _write(pytester, planted), {"starts": {"starts_no_cuda"}}, "plugtron"
    )
    assert found == {"starts": {"starts_no_cuda": "importing starts starts CUDA"}}
