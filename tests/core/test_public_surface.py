"""What plugins and users rely on, frozen in a text file: a change there is a decision, not an accident.

After such a decision: python tests/core/test_public_surface.py > tests/data/public_surface.txt
"""

import dataclasses
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

from support.public_types import PUBLIC, public_names, types_of

import plugtron
from plugtron import contracts
from plugtron.plugin import hookspecs
from plugtron.plugin.component import Kind, Need
from plugtron.plugin.run_info import Outcome, RunInfo
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence, LogProbs, RequestOutput, Timings
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec import model as spec_model

FROZEN = Path(__file__).parents[1] / "data" / "public_surface.txt"
RECORDS = [InferenceRequest, InferenceSequence, LogProbs, RequestOutput, Timings, RunInfo, Outcome, plugtron.Component]
SECTIONS = [
    "Spec",
    "ModelSpec",
    "ParallelSpec",
    "ComponentRef",
    "PromptSpec",
    "PromptFile",
    "OutputSpec",
    "PluginsSpec",
]


def arguments(function):
    return ", ".join(
        str(parameter).split(":")[0].split("=")[0].strip()
        for parameter in inspect.signature(function).parameters.values()
    )


def describe(thing):
    """A class as lines: fields of a record, methods of a contract."""
    yield thing.__name__
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            yield f"  {field.name}{' (has a default)' if has_default else ''}"
        return
    for name, member in sorted(vars(thing).items()):
        if name.startswith("_") and name != "__init__":
            continue
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function):
            abstract = "" if not getattr(function, "__isabstractmethod__", False) else " (to implement)"
            yield f"  {name}({arguments(function)}){abstract}"
        elif isinstance(member, property):
            yield f"  {name}"
    for name in sorted(inspect.get_annotations(thing)):
        yield f"  {name}: attribute"


def surface():
    yield f"plugtron {', '.join(plugtron.__all__)}"
    yield f"API_VERSION {contracts.API_VERSION}"
    for name, function in sorted(vars(hookspecs).items()):
        if name.startswith("plugtron_"):
            yield f"hook {name}({arguments(function)})"
    for enum in (Kind, Need, FinishReason):
        yield f"{enum.__name__} {', '.join(enum)}"
    for record in RECORDS:
        yield from describe(record)
    for name in contracts.__all__:
        thing = getattr(contracts, name)
        if inspect.isclass(thing):
            yield from describe(thing)
    for model in (*(getattr(spec_model, name) for name in SECTIONS), SamplingParams):
        yield f"{model.__name__} {', '.join(model.model_fields)}"


def test_signatures_name_public_types_only():
    """Whatever a public signature or a hook names can be imported from a public module."""
    public = public_names()
    hooks = {("plugtron.plugin.hookspecs", name) for name in vars(hookspecs) if name.startswith("plugtron_")}
    missing = {
        f"{module}.{name} names {'.'.join(used)}"
        for module, name in {*public, *hooks}
        for used in types_of(module, name)
        if used not in public
    }
    assert not missing


def test_public_surface():
    assert "\n".join(surface()).splitlines() == FROZEN.read_text().splitlines()


def test_no_public_name_is_a_module_of_its_package():
    """Once the module is imported, `from package import name` would give it in the name's place."""
    for name in PUBLIC:
        package = import_module(name)
        modules = {module.name for module in pkgutil.iter_modules(getattr(package, "__path__", []))}
        assert not modules & set(package.__all__), name


if __name__ == "__main__":
    print("\n".join(surface()))
