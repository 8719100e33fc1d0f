"""Checks of a component's models: its options, and the parameters that requests may have for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from plugtron.diagnosis.finding import Findings
from plugtron.plugin.component import Component, Kind
from plugtron.plugin.options import Options, Params
from plugtron.plugin.registry import WITH_PARAMS
from plugtron.utils import validation
from plugtron.utils.lazy import load_target

__all__ = ["check_options", "check_params", "check_plugin_options"]


def check_options(component: Component) -> Findings:
    """Whether the options can be had, what their defaults are worth, and whether a schema can be made of them."""
    try:
        model = component.options_model()
    except BaseException as error:  # a module may raise anything, and end the process
        yield "error", f"options {component.options}: {type(error).__name__}: {error}"
        return
    yield from _check_model("options", model, Options)


def check_plugin_options(model: object) -> Findings:
    """The same for what an observer takes."""
    yield from _check_model("PLUGTRON_OPTIONS", model, Options)


def check_params(kind: Kind, component: Component, target: object) -> Findings:
    """Whether parameters are announced where they are looked for, and mean "not asked for" until they are.

    Args:
        target: what the component's target is; None where it cannot be had.
    """
    declared = getattr(target, "params", None)
    if component.params is None:
        if kind in WITH_PARAMS and getattr(declared, "model_fields", None):
            text = "parameters are declared on the class alone, so that a check of a spec has to import it, and torch"
            yield (
                "warning",
                f"{text}: name them in the Component, too: params={getattr(declared, '__name__', declared)}",
            )
        return
    # An engine that brings its own model does the work of a controller, too.
    if kind not in (*WITH_PARAMS, Kind.ENGINE):
        yield "error", f"params: {kind}s take no parameters of requests (accepted: samplers, controllers, engines)"
        return
    try:
        model = load_target(component.params) if isinstance(component.params, str) else component.params
    except BaseException as error:
        yield "error", f"params {component.params}: {type(error).__name__}: {error}"
        return
    wrong = list(_check_model("params", model, Params))
    yield from wrong
    if wrong:
        return
    for name, field in model.model_fields.items():
        if field.is_required() or field.get_default(call_default_factory=True) is not None:
            yield "error", f"params: the default of {name!r} must be None, which means that it is not asked for"
    if isinstance(target, type) and declared is not model:
        text = (
            f"params: the component announces {model.__name__}, its class {getattr(declared, '__name__', declared)!r}"
        )
        yield "error", f"{text}: they must be one"


def _check_model(what: str, model: Any, base: type[BaseModel]) -> Findings:
    if not (isinstance(model, type) and issubclass(model, base)):
        yield "error", f"{what}: {model!r} is no subclass of plugtron.{base.__name__}"
        return
    fields = {name: field for name, field in model.model_fields.items() if not field.is_required()}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    try:
        model.model_validate(defaults)
    except ValidationError as error:
        for place, text in validation.describe(error, model, defaults):
            if text != "is required":
                yield "error", f"{what}: the default of {'.'.join(map(str, place))}: {text}"
    try:
        model.model_json_schema()
    except Exception as error:
        yield "error", f"{what}: no JSON schema can be made of it: {type(error).__name__}: {error}"
