"""The modules of multi-token prediction that a checkpoint of Megatron's has."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from plugtron.contracts import ModelOptions, StepBatch, StepOutput, WeightMap
from plugtron.execution import DecoderWrapper, EagerBackend
from plugtron.nn import DecoderConfig, TransformerDecoder
from plugtron_wrappers.megatron.config import MegatronModel
from plugtron_wrappers.megatron.mtp_decoder import MTPDecoder
from plugtron_wrappers.megatron.mtp_weights import mtp_weights

__all__ = ["MegatronMTPModule"]

_Entry = TypeVar("_Entry")


class MegatronMTPModule(DecoderWrapper):
    """A `plugtron.contracts.MTPModule`: one layer, with an embedding and a head of its own, equal to the model's.

    Its decoder has `depth` + 1 layers, of which it holds the last. So its layer has the number that Megatron gives it.

    Args:
        main: the wrapper of the model.
        depth: which module, from 1 on.

    Raises:
        CheckpointError: a tensor is missing, or of another shape.
    """

    decoder_class: ClassVar[type[TransformerDecoder]] = MTPDecoder

    def __init__(self, main: DecoderWrapper, model: MegatronModel, depth: int) -> None:
        config = _layer_config(model.config, depth)
        super().__init__(main.runtime, main.checkpoint, main.model, config, _options(main))
        self.layers = range(depth, depth + 1)
        self.info = replace(self.info, states=self.info.states[depth:])
        self._megatron = replace(model, config=config)
        self._depth = depth
        self._input: MTPDecoder | None = None
        self.check()

    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the contract's word for it
        """Say where the parameters stand."""
        del format
        return mtp_weights(self._megatron, self._depth - 1)

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load this rank's weights; what torch's steps work in, which they do not say, is put at an upper bound."""
        known = super().preload(rows, tokens, longest)
        return _most_bytes(self.config, rows, tokens, longest) if known is None else known

    def check(self) -> None:
        """Compare what the layer and its input need with what the checkpoint holds."""
        super().check()
        before = copy.copy(self)
        before.layers = range(0)
        super(MegatronMTPModule, before).check()

    def predict(self, batch: StepBatch, positions: Tensor, hidden: Tensor) -> StepOutput:
        """Run a step, as `plugtron.contracts.MTPModule.predict`."""
        assert self._input is not None, "prep_model_for_inference comes first"
        with torch.inference_mode():
            combined = self._input.combine(batch.tokens, positions, hidden)
            return self.execution.run_with_hidden_states(batch, combined.to(self.execution.hidden_dtype))

    def release_memory(self, *, weights: bool) -> None:
        """Let go of what makes the input, too."""
        super().release_memory(weights=weights)
        if weights:
            self._input = None

    def _load(self) -> None:
        if self._execution is None:
            held = self.load(range(0))
            assert isinstance(held, MTPDecoder)
            self._input = held
        super()._load()

    def _take_weights(self, other: DecoderWrapper) -> None:
        assert isinstance(other, MegatronMTPModule), "it is a copy"
        super()._take_weights(other)
        self._input = other._input


def _layer_config(config: DecoderConfig, depth: int) -> DecoderConfig:
    """The configuration whose last layer is the module's: like the model's last one, with windows by its own number."""
    place = min(depth, config.num_layers) - 1

    def own(entries: Sequence[_Entry], at: int) -> tuple[_Entry, ...]:
        return (entries[at],) * (depth + 1) if entries else ()

    return replace(
        config,
        num_layers=depth + 1,
        windows=own(config.windows, place),
        rotates=own(config.rotates, place),
        attention_scales=own(config.attention_scales, place),
        sparse=own(config.sparse, -1),
    )


def _most_bytes(config: DecoderConfig, rows: int, tokens: int, longest: int) -> int:
    """What one layer, its input and the head hold at once at the most, in bytes: all in float32, on one rank."""
    experts = config.experts if any(config.sparse) else None
    width = config.intermediate_size if experts is None else experts.top_k * experts.size + experts.shared_size
    heads = (config.num_heads + 2 * config.num_kv_heads) * config.head_dim
    numbers = tokens * (8 * config.hidden_size + 4 * width + 3 * heads + longest)
    return 4 * (numbers + 3 * rows * (config.padded_vocab_size or config.vocab_size))


def _options(main: DecoderWrapper) -> ModelOptions:
    """As the model's steps are run; captured steps begin with tokens, so on a GPU they are torch's.

    Drafts need no equal bits: what is drawn does not depend on them.
    """
    execution = main.options.execution
    graph = main.runtime.device.type == "cuda" if execution is None else execution.name == "graph"
    return replace(main.options, execution=EagerBackend() if graph else execution, deterministic=False)
