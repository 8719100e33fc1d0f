"""What assembly hands to a component: everything built before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plugtron.contracts.execution import ModelOptions

if TYPE_CHECKING:
    from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription
    from plugtron.contracts.controller import TextGenerationController
    from plugtron.contracts.sampler import Sampler
    from plugtron.contracts.tokenizer import Tokenizer
    from plugtron.contracts.wrapper import ModelWrapper
    from plugtron.parallel.runtime import Runtime

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a run, filled in this order; a part sees all that comes before it.

    What components later need becomes a field here, so that no factory's `(parts, options)` ever changes.
    """

    runtime: Runtime
    options: ModelOptions = field(default_factory=ModelOptions)
    model: ModelDescription | None = None
    checkpoint: CheckpointReader | None = None
    tokenizer: Tokenizer | None = None
    wrapper: ModelWrapper | None = None
    samplers: tuple[Sampler, ...] = ()
    controller: TextGenerationController | None = None
    seed: int | None = None
