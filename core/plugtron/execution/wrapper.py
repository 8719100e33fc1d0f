"""What every decoder family shares of a model wrapper: loading, laying out a step, running it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from plugtron.checkpoint.loader import check_weights, load_weights
from plugtron.context.memory_size import explain_out_of_memory
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.decoder import AttentionState, Decoder, ModelInfo
from plugtron.contracts.execution import Execution, ExecutionBackend, ModelOptions, StoredBlocks
from plugtron.contracts.memory import KVOrigin
from plugtron.contracts.parts import Parts
from plugtron.contracts.step import StepBatch, StepOutput, StepPlan
from plugtron.contracts.weights import WeightMap
from plugtron.contracts.wrapper import Export, ModelWrapper
from plugtron.errors import CheckpointError, ParallelError, PluginError, PlugtronError
from plugtron.execution.choice import choose
from plugtron.execution.origin import kv_origin
from plugtron.nn.config import DecoderConfig
from plugtron.nn.decoder import TransformerDecoder
from plugtron.nn.heads import Heads
from plugtron.parallel.runtime import Runtime
from plugtron.plugin.options import Options
from plugtron.utils.transfers import transfer

__all__ = ["DecoderWrapper"]

#: Entries of configurations that say where weights come from, and nothing of what is computed.
_DESCRIPTIVE = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}
_DESCRIPTIVE_PREFIXES = ("general.", "tokenizer.")


class DecoderWrapper(ModelWrapper):
    """A family says what its decoder looks like (`describe`), what it computes (`decoder_class`), and where its weights
    are (`weight_map`).

    Attributes:
        decoder_class: what `build` makes of a configuration, a range of layers and a runtime.

    Raises:
        ParallelError: the heads cannot be shared out over the ranks.
    """

    decoder_class: ClassVar[type[TransformerDecoder]] = TransformerDecoder

    def __init__(
        self,
        runtime: Runtime,
        checkpoint: CheckpointReader,
        model: ModelDescription,
        config: DecoderConfig,
        model_options: ModelOptions | None = None,
    ) -> None:
        self.runtime = runtime
        self.options = model_options or ModelOptions()
        self.model = model
        self.checkpoint = checkpoint
        headless = model.backbone and not config.tied
        # The embedding stands in for the missing head; its logits are never used.
        self.config = config = replace(config, tied=True, head_bias=False) if headless else config
        self.layers = stage_layers(config.num_layers, runtime)
        kv_heads = Heads.of(config, runtime).kv_heads
        kv_dtype = self.options.kv_dtype or runtime.dtype
        ranks, rows = runtime.tensor.size, config.padded_vocab_size or config.vocab_size
        self.info = ModelInfo(
            vocab_size=config.vocab_size,
            padded_vocab_size=-(-rows // ranks) * ranks,
            hidden_size=config.hidden_size,
            max_positions=config.max_positions,
            eos_ids=model.eos_ids,
            final_size=config.embedding_size,
            headless=headless,
            states=tuple(
                AttentionState(
                    kv_heads=kv_heads,
                    head_dim=config.head_dim,
                    dtype=kv_dtype,
                    window=config.windows[layer],
                    chunk=config.chunks[layer] if config.chunks else None,
                )
                for layer in self.layers
            ),
        )
        self._backend: ExecutionBackend | None = None
        self._execution: Execution | None = None
        # What the execution has been made ready for.
        self._context: InferenceContext | None = None

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Self:
        """Build from a spec."""
        assert parts.checkpoint is not None, "a component that needs a checkpoint gets one"
        model = parts.model or parts.checkpoint.model
        config = cls.describe(model, parts.checkpoint, options)
        return cls(parts.runtime, parts.checkpoint, model, config, parts.options)

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate a model's own configuration. For `assemble`, which a family may write for itself instead.

        Raises:
            CheckpointError: it is wrong, or asks for what the family does not compute.
            PluginError: the family has neither this method nor an `assemble` of its own.
        """
        del model, checkpoint, options
        raise PluginError(
            f"wrapper {cls.__module__}.{cls.__qualname__} lacks `describe`, which reads a model's configuration "
            "(or an `assemble` of its own)"
        )

    def build(self, layers: range) -> Decoder:
        """Return the decoder with these layers, its parameters allocated on the runtime's device and not yet read.

        The embedding belongs to the first layer and the head to the last: pipeline stages have some of the layers.
        """
        return self.decoder_class(self.config, layers, self.runtime)

    @abstractmethod
    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the field's word for it
        """Say where the parameters stand in a checkpoint of `format`."""

    def export(self) -> Export:
        """Say how the model is written as a Hugging Face folder. Only for wrappers that `plugtron convert` can use.

        Raises:
            CheckpointError: this wrapper has no such form.
        """
        raise CheckpointError(f"{type(self).__name__} cannot be converted")

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load this rank's weights, and try out what steps work in. What is loaded already stays."""
        self._load()
        return self.execution.peak_activation_bytes(rows, tokens, longest)

    def _load(self) -> None:
        if self._execution is None:
            self.agree()
            assert self._backend is not None
            with explain_out_of_memory("the model's weights", self.runtime.device):
                self._execution = self._backend.load(self)

    def update_weights(self, path: Path) -> None:
        """Read the weights of another checkpoint; the old ones are there until all ranks have the new.

        Raises:
            CheckpointError: it is in another format, of another architecture, or configured otherwise.
        """
        other = copy.copy(self)
        asleep = self._execution is None

        def read() -> None:
            other.checkpoint = type(self.checkpoint)(path)
            other.model = other.checkpoint.model
            _check_same_model(self.model, other.model)
            other._execution = None
            if asleep:
                other.check()
                return
            other._load()
            if self._context is not None:
                other.execution.prepare(self._context)

        self.runtime.model.run_on_all_ranks(read)
        self._take_weights(other)

    def _take_weights(self, other: DecoderWrapper) -> None:
        """Run steps with the weights of the same model over another checkpoint."""
        self.checkpoint, self.model, self._execution = other.checkpoint, other.model, other._execution

    def kv_origin(self) -> KVOrigin | None:
        """Say what this rank's keys and values depend on; None where that cannot be told."""
        self.agree()
        assert self._backend is not None
        return kv_origin(self, self._backend)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the context's memory, and of the execution with its weights."""
        self.execution.release()
        self._context = None
        if weights:
            self._execution = None

    def prep_model_for_inference(self, context: InferenceContext) -> None:
        """Load this rank's weights and make the execution ready."""
        self._load()
        self.execution.prepare(context)
        self._context = context

    def agree(self) -> None:
        """Agree with the other ranks on how steps are run: all of them natively, or none."""
        if self._backend is None:
            self._backend = choose(self)
            for group in (self.runtime.tensor, self.runtime.model):
                group.connect(self.runtime.device)

    @property
    def num_layers(self) -> int:
        """How many layers the model has."""
        return self.config.num_layers

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.config.tied

    @property
    def fingerprint(self) -> str:
        """What decoders are built from, as a text."""
        return repr(self.config)

    @property
    def execution(self) -> Execution:
        """How the steps are run, once the model is ready."""
        assert self._execution is not None, "prep_model_for_inference comes first"
        return self._execution

    def load(self, layers: range, blocks: StoredBlocks | None = None) -> Decoder:
        """Return the decoder with these layers and this rank's weights in it, but for those that go to `blocks`."""
        decoder = self.build(layers)
        weight_map = self.weight_map(self.model.format)
        with self._named():
            load_weights(decoder, layers, self.config.num_layers, weight_map, self.checkpoint, blocks)
        return decoder

    def check(self) -> None:
        """Compare what this rank's decoder needs with what the checkpoint holds.

        Raises:
            CheckpointError: they differ; everything that does is in one message.
            PluginError: decoder and weight map do not fit each other.
        """
        weight_map = self.weight_map(self.model.format)
        with self._named():
            check_weights(self.outline(), self.layers, self.config.num_layers, weight_map, self.checkpoint)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say whose code it is that is wrong."""
        try:
            yield
        except PluginError as error:
            raise PluginError(f"wrapper {type(self).__module__}.{type(self).__qualname__}: {error}") from None

    def outline(self) -> Decoder:
        """Return this rank's decoder without its weights, and without the memory that they take."""
        if self.runtime.device.type == "cpu":  # where memory that nobody writes to takes no room
            return self.build(self.layers)
        return self.over(replace(self.runtime, device=torch.device("meta"))).build(self.layers)

    def over(self, runtime: Runtime) -> Self:
        """Return the same model over another runtime: another dtype, or another device."""
        other = copy.copy(self)
        other.runtime = runtime
        return other

    def prep_inference_input(self, plan: StepPlan, context: InferenceContext) -> StepBatch:
        """Lay a plan out on the device: one transfer for what the host knows, the rest is on the device already."""
        if self.info.headless and any(plan.columns.num_logits):
            raise PlugtronError(f"{self.checkpoint.path}: the model has no head, and so no logits")
        memory = context.view(plan)
        named = plan.columns.tokens
        if not any(named):
            tokens = context.last_tokens[memory.slots]
        else:
            (tokens,) = transfer(self.runtime.device, np.array([token for row in named for token in (row or (0,))]))
            continuing = [not row for row in named]
            if any(continuing):
                (chosen,) = transfer(self.runtime.device, np.array(continuing).nonzero()[0])
                tokens[memory.query_start_loc[chosen]] = context.last_tokens[memory.slots[chosen]]
        return StepBatch(
            tokens=tokens,
            positions=memory.positions,
            query_start_loc=memory.query_start_loc,
            slots=memory.slots,
            logit_index=_logit_index(plan, self.runtime.device),
            memory=memory,
            hidden_index=_hidden_index(plan, self.runtime.device),
            hidden_layers=plan.hidden_layers,
        )

    def run_one_forward_step(self, batch: StepBatch) -> Tensor | None:
        """Return this rank's logits [N, V / tp] in float32; None on a stage that hands its hidden states on."""
        hidden = self._received(batch)
        if self._is_last_stage:
            return self.execution.run(batch, hidden)
        self._hand_on(batch, hidden)
        return None

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say why hidden states cannot be had: of the decoder, the execution, or the pipeline."""
        stages = self.runtime.pipeline.size
        if layers and stages > 1:
            return f"parallel.pipeline {stages}: the layers are on several stages (accepted: 1)"
        return self.execution.why_no_hidden_states(layers=layers)

    def run_with_hidden_states(self, batch: StepBatch) -> StepOutput:
        """Return this rank's logits, and final hidden states, as `run_one_forward_step`."""
        hidden = self._received(batch)
        if self._is_last_stage:
            return self.execution.run_with_hidden_states(batch, hidden)
        self._hand_on(batch, hidden)
        return StepOutput()

    @property
    def _is_last_stage(self) -> bool:
        return self.runtime.pipeline.rank == self.runtime.pipeline.size - 1

    def _received(self, batch: StepBatch) -> Tensor | None:
        """What the stage before hands on, [T, H]; None on the first."""
        pipeline = self.runtime.pipeline
        if pipeline.rank == 0:
            return None
        shape = (len(batch.tokens), self.info.hidden_size)
        hidden = torch.empty(shape, dtype=self.execution.hidden_dtype, device=self.runtime.device)
        pipeline.receive(hidden, pipeline.rank - 1)
        return hidden

    def _hand_on(self, batch: StepBatch, hidden: Tensor | None) -> None:
        """Run this stage's layers, for the next stage."""
        self.runtime.pipeline.send(self.execution.run(batch, hidden), self.runtime.pipeline.rank + 1)


def _check_same_model(now: ModelDescription, then: ModelDescription) -> None:
    """See whether weights of `then` fit what has been built for `now`; shapes are compared when they are read.

    Raises:
        CheckpointError: they do not; with the entries that differ.
    """
    if now.provision != then.provision:
        raise CheckpointError(f"{then.path}: it is {then.provision}, and the model that runs is {now.provision}")
    entries = sorted({*now.configuration, *then.configuration} - _DESCRIPTIVE)
    differ = [name for name in entries if now.configuration.get(name) != then.configuration.get(name)]
    differ = [name for name in differ if not name.startswith(_DESCRIPTIVE_PREFIXES)]
    if differ:
        raise CheckpointError(f"{then.path}: it is configured otherwise than the model that runs: {', '.join(differ)}")


def stage_layers(num_layers: int, runtime: Runtime) -> range:
    """The layers of this rank's pipeline stage: as even as can be.

    Raises:
        ParallelError: there are more stages than layers.
    """
    stages, stage = runtime.pipeline.size, runtime.pipeline.rank
    if stages > num_layers:
        raise ParallelError(f"parallel.pipeline {stages}: {num_layers} layers make {num_layers} stages at the most")
    return range(num_layers * stage // stages, num_layers * (stage + 1) // stages)


def _logit_index(plan: StepPlan, device: torch.device) -> Tensor | None:
    """Which tokens want logits: the last few of each row. None when all do, which spares a copy."""
    columns = plan.columns
    if columns.num_logits == columns.num_new:
        return None
    return _last_positions(columns.num_new, columns.num_logits, device)


def _hidden_index(plan: StepPlan, device: torch.device) -> Tensor | None:
    """Which tokens want hidden states, likewise; None when none do."""
    if not plan.hidden:
        return None
    columns = plan.columns
    return _last_positions(columns.num_new, [plan.hidden.get(slot, 0) for slot in columns.slots], device)


def _last_positions(sizes: Sequence[int], counts: Sequence[int], device: torch.device) -> Tensor:
    """Where the last few tokens of each row are, [N]."""
    wanted, end = [], 0
    for size, count in zip(sizes, counts, strict=True):
        end += size
        wanted += range(end - count, end)
    return transfer(device, np.array(wanted, dtype=np.int64))[0]
