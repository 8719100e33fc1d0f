"""Building the parts of a run, one after the other, on this rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from plugtron.assembly.declared_parts import as_declared
from plugtron.assembly.dtypes import choose_dtype
from plugtron.contracts.checkpoint import ModelDescription
from plugtron.contracts.execution import ModelOptions
from plugtron.contracts.kinds import ATTRIBUTES, contract_of
from plugtron.contracts.parts import Parts
from plugtron.errors import PluginError, PlugtronError
from plugtron.parallel.runtime import Runtime
from plugtron.parallel.world import World
from plugtron.plugin.component import Kind, Need
from plugtron.plugin.registry import OWN_DISTRIBUTION, RegisteredComponent
from plugtron.quantization.float8 import FLOAT8
from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec

__all__ = ["build_component", "build_parts", "make_runtime", "one"]

#: None: the runtime's.
_KV_DTYPES = {"auto": None, "int8": torch.int8, "fp8": FLOAT8}


def make_runtime(resolved: ResolvedSpec, model: ModelDescription, world: World) -> Runtime:
    """Form the groups that a spec asks for, in the dtype that the model wants."""
    spec = resolved.spec
    return Runtime.create(
        dtype=choose_dtype(spec.model.dtype, model, spec.device),
        device=spec.device,
        threads=spec.threads,
        tensor=spec.parallel.tensor,
        pipeline=spec.parallel.pipeline,
        data=spec.parallel.data,
        backend=spec.parallel.backend,
        in_order=spec.deterministic,
        world=world,
    )


def build_parts(resolved: ResolvedSpec, runtime: Runtime, wanted: frozenset[Need]) -> Parts:
    """Build what is wanted, in the order of `Parts`."""
    assert resolved.model is not None
    assert resolved.reader is not None
    checkpoint = resolved.reader.load()(resolved.model.path) if Need.CHECKPOINT in wanted else None
    built = Parts(runtime=runtime, model=resolved.model, checkpoint=checkpoint, seed=resolved.spec.seed)
    built = replace(built, options=_model_options(resolved, built))
    if Need.TOKENIZER in wanted and resolved.chosen(Kind.TOKENIZER):
        built = replace(built, tokenizer=build_component(one(resolved, Kind.TOKENIZER), built))
    if Need.WRAPPER in wanted:
        built = replace(built, wrapper=build_component(one(resolved, Kind.WRAPPER), built))
    if Need.SAMPLERS in wanted:
        chain = tuple(build_component(chosen, built) for chosen in resolved.chosen(Kind.SAMPLER))
        built = replace(built, samplers=chain)
    if Need.CONTROLLER in wanted:
        built = replace(built, controller=build_component(one(resolved, Kind.CONTROLLER), built))
    return built


def _model_options(resolved: ResolvedSpec, parts: Parts) -> ModelOptions:
    """Make what the spec names; kinds that it leaves to plugtron are left out."""

    def made(kind: Kind) -> Any:
        chosen = resolved.chosen(kind)
        return build_component(chosen[0], parts) if chosen else None

    return ModelOptions(
        quantization=made(Kind.QUANTIZATION),
        kv_dtype=_KV_DTYPES[resolved.spec.model.kv_dtype],
        execution=made(Kind.EXECUTION),
        attention=made(Kind.ATTENTION),
        deterministic=resolved.spec.deterministic,
    )


def one(resolved: ResolvedSpec, kind: Kind) -> ResolvedComponent:
    """Return the chosen component of a kind that there is one of.

    Raises:
        PluginError: nothing provides it.
    """
    chosen = resolved.chosen(kind)
    if not chosen:
        raise PluginError(f"nothing provides the {kind} that this run needs")
    return chosen[0]


def build_component(chosen: ResolvedComponent, parts: Parts) -> Any:
    """Import a component's target and let it make the part.

    Raises:
        PluginError: it cannot be imported, raises what is no error of plugtron's, or makes something else.
    """
    target = chosen.offer.load()
    factory = getattr(target, "assemble", target)
    try:
        made = factory(as_declared(parts, chosen.offer.title, chosen.offer.component.needs), chosen.options)
    except PlugtronError:
        raise
    except Exception as error:
        if chosen.offer.distribution == OWN_DISTRIBUTION:
            raise
        raise PluginError(f"{chosen.offer.title} cannot be built: {type(error).__name__}: {error}") from error
    _check_kind(chosen.offer, made)
    return made


def _check_kind(offer: RegisteredComponent, made: object) -> None:
    """See whether a factory has made what its component promises."""
    contract, name = contract_of(offer.kind)
    if not isinstance(made, contract):
        raise PluginError(f"{offer.title}: {offer.component.target} makes a {type(made).__name__}, which is no {name}")
    missing = [name for name in ATTRIBUTES.get(offer.kind, ()) if not hasattr(made, name)]
    if missing:
        raise PluginError(f"{offer.title}: {type(made).__name__} sets no {', '.join(missing)}")
    announced, declared = offer.params_model(), getattr(made, "params", None)
    if announced is None and getattr(declared, "model_fields", None):
        raise PluginError(
            f"{offer.title}: {type(made).__name__} takes parameters, which its component must announce (params=...), "
            "because its target is no class"
        )
    if announced is not None and declared is not announced:
        raise PluginError(
            f"{offer.title}: its component announces "
            f"{announced.__name__}, its class {getattr(declared, '__name__', declared)!r}: they must be one"
        )
