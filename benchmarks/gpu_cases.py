"""What the GPU benchmark measures: how much work, of which sides, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from plugtron.contracts import ModelOptions
from plugtron.quantization import Float8, Grouped
from plugtron.quantization.float8 import FLOAT8

__all__ = ["SIZES", "VARIANTS", "Sizes", "Variant", "cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much work, in tokens.

    `context`: before one row's decode; `tokens`: of every answer; `prefill`: of a prompt that is measured alone;
    `prompt`: of each row of a batch; `rows`: the batches; `repetitions` of what one row takes; `dtype`: of what is not
    quantized.
    """

    context: int
    tokens: int
    prefill: int
    prompt: int
    rows: tuple[int, ...]
    repetitions: int
    dtype: str

    @property
    def longest(self) -> int:
        """Prompt and answer together, at the most."""
        return max(self.context + self.tokens, self.prefill, self.prompt + self.tokens) + 1


#: By kind of device. On a CPU the kernels go through Triton's interpreter, to see whether the benchmark runs at all; it
#: computes with bfloat16 as if that were integers.
SIZES = {
    "cuda": Sizes(
        context=512, tokens=128, prefill=2048, prompt=128, rows=(1, 16, 64, 256), repetitions=3, dtype="bfloat16"
    ),
    "cpu": Sizes(context=4, tokens=2, prefill=8, prompt=4, rows=(1, 2), repetitions=1, dtype="float32"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run a model."""

    kind: Literal["graph", "eager", "static", "continuous"] = "graph"
    options: ModelOptions = field(default_factory=ModelOptions)

    @property
    def slow(self) -> bool:
        """Whether it takes so long, or to compile so long, that less of it is measured, and last."""
        return self.kind != "graph"


#: transformers with a static cache compiles its forward, as gpt-fast does: there is no side for that beside it.
VARIANTS: dict[str, Variant] = {
    "graph bf16": Variant(),
    "graph int4": Variant(options=ModelOptions(quantization=Grouped(4))),
    "graph int8": Variant(options=ModelOptions(quantization=Grouped(8))),
    "graph fp8": Variant(options=ModelOptions(quantization=Float8())),
    "graph fp8 kv": Variant(options=ModelOptions(kv_dtype=FLOAT8)),
    "graph deterministic": Variant(options=ModelOptions(deterministic=True)),
    "transformers": Variant(kind="static"),
    "eager bf16": Variant(kind="eager"),
    "transformers continuous": Variant(kind="continuous"),
}
#: The shape of which all variants are run; of others but a few.
_FIRST = "llama-3.1-8b"
_OTHERS = ("llama-3.2-1b", "gpt-583m", "smollm2-135m")
_FEW = ("graph bf16", "graph int4", "transformers")


def cases(shapes: Iterable[str] | None, variants: Iterable[str] | None) -> list[tuple[str, str]]:
    """Shapes and variants in the order in which they are run: slow ones come last, where time may be up."""
    chosen = [
        (shape, variant)
        for shape in shapes or (_FIRST, *_OTHERS)
        for variant in variants or (VARIANTS if shape == _FIRST else _FEW)
    ]
    return sorted(chosen, key=lambda case: VARIANTS[case[1]].slow)
