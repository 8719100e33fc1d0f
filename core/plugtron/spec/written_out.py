"""A spec with what was chosen written into it: every `auto` by name, every option with its default."""

from __future__ import annotations

from typing import Any

from plugtron.plugin.registry import RegisteredComponent
from plugtron.spec.load import Place
from plugtron.spec.model import Spec
from plugtron.spec.resolved import ResolvedComponent
from plugtron.spec.section import ComponentRef

__all__ = ["written_out"]


def written_out(spec: Spec, components: list[ResolvedComponent], sampling: dict[str, Any]) -> Spec:
    """The same spec with the chosen names and all options: what `plugtron show` prints."""
    refs: dict[Place, list[ComponentRef]] = {}
    for chosen in components:
        ref = ComponentRef(name=_written_name(chosen.offer, spec), options=chosen.options.model_dump(mode="json"))
        refs.setdefault(chosen.place, []).append(ref)

    def one(place: Place, written: ComponentRef) -> ComponentRef:
        return refs.get(place, [written])[0]

    def listed(owner: Place, written: list[ComponentRef]) -> list[ComponentRef]:
        return [ref for place in sorted(each for each in refs if each[:-1] == owner) for ref in refs[place]] or written

    serve = spec.serve
    if serve is not None:
        serve = serve.model_copy(update={"routes": listed(("serve", "routes"), serve.routes)})
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(
                update={
                    "wrapper": one(("model", "wrapper"), spec.model.wrapper),
                    "quantization": refs.get(("model", "quantization"), [spec.model.quantization])[0],
                }
            ),
            "execution": one(("execution",), spec.execution),
            "attention": one(("attention",), spec.attention),
            "tokenizer": one(("tokenizer",), spec.tokenizer),
            "engine": one(("engine",), spec.engine),
            "controller": one(("controller",), spec.controller),
            "samplers": listed(("samplers",), spec.samplers),
            "serve": serve,
            "sampling": {**sampling, **{name: value for name, value in spec.sampling.items() if value is not None}},
        }
    )


def _written_name(offer: RegisteredComponent, spec: Spec) -> str:
    """Keep "name@distribution" where the spec has written it: it may be the only clear form."""
    refs = (spec.engine, spec.controller, spec.tokenizer, spec.execution, spec.attention, *spec.samplers)
    refs += () if spec.serve is None else tuple(spec.serve.routes)
    written = {ref.name for ref in (*refs, spec.model.wrapper, spec.model.quantization) if ref is not None}
    return offer.qualified if offer.qualified in written else offer.name
