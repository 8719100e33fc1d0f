"""The graph execution: steps over Triton kernels on a GPU, captured once per number of rows or of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.context.memory_size import explain_out_of_memory
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.decoder import HasFinalStates
from plugtron.contracts.execution import Execution
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepBatch, StepOutput
from plugtron.execution.cuda_graphs import FixedSteps, StepMaker, needed
from plugtron.execution.final_states import why_no_final_states
from plugtron.execution.graph_capture import Recorder
from plugtron.execution.step_inputs import ChunkInputs, DecodeInputs, StepInputs, TileInputs
from plugtron.execution.triton_forward import TritonForward
from plugtron.execution.weight_stats import layer_weights, weight_bytes
from plugtron.kernels.triton.chunk_attention import tile_tokens
from plugtron.nn.attention import AttentionShape
from plugtron.parallel.group import Group
from plugtron.parallel.zeros import zeros

__all__ = ["ROWS", "TOKENS", "GraphExecution"]

#: Numbers of rows that decode steps are captured for.
ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
#: Numbers of tokens that steps with prompts are captured for; beyond `_ALWAYS` only where there are so few tokens times
#: weights that a GPU computes the step in less than the 8 milliseconds that it takes to launch it.
TOKENS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
_ALWAYS, _SHORT = 512, 2e12
#: Rows of one token attend in tiles as far as this; beyond, splitting a history is worth more than a graph.
_LONGEST_UNSPLIT = 4096
#: What a graph itself takes of a device, about.
_GRAPH_BYTES = 16 << 20
#: How many tokens a block has where it does not matter.
_BLOCK = 16


class GraphExecution(Execution):
    """Replays steps; those that there is no graph for have their kernels launched one by one.

    Args:
        decoder: all of it.
        dtype: what hidden states are in.
        kv_dtype: what keys and values are in.
        captures: steps are captured; else their kernels are launched one by one, which any device can do.
        in_order: a token's bits must not depend on what else is in a step, so that all attend in the same tiles.
        group: the ranks that share each layer.
    """

    def __init__(
        self,
        decoder: TritonForward,
        *,
        dtype: torch.dtype,
        kv_dtype: torch.dtype,
        captures: bool,
        in_order: bool,
        group: Group,
    ) -> None:
        self._decoder = decoder
        self._device = decoder.device
        self._group = group
        self._kv_dtype = kv_dtype
        self._captures = captures
        self._in_order = in_order
        shape = decoder.shape
        self._tile = tile_tokens(shape.heads // shape.kv_heads, shape.head_dim * dtype.itemsize)
        weights = layer_weights(decoder.layers)
        self._sizes = [size for size in TOKENS if size <= _ALWAYS or size * weights <= _SHORT]
        self._longest = self._slots = 0
        self._most_tokens: int | None = None
        self.hidden_dtype = dtype
        self._use((), 1)

    @property
    def weight_bytes(self) -> int:
        """Of everything but an embedding that is no head."""
        return weight_bytes(self._decoder.layers, self._decoder.last)

    @property
    def layer_weights(self) -> int:
        """Those of the layers."""
        return layer_weights(self._decoder.layers)

    @property
    def capture_seconds(self) -> float:
        """How long it has taken to capture the steps."""
        return 0.0 if self._recorder is None else self._recorder.seconds

    @property
    def capture_bytes(self) -> int:
        """What graphs, and the memory that they work in, have taken of the device."""
        return 0 if self._recorder is None else self._recorder.bytes

    def peak_activation_bytes(self, rows: int, tokens: int, longest: int) -> int | None:
        """Try out a step of so many tokens, of which `rows` want logits, and one of so many rows, on a GPU.

        Returns:
            Twice what that takes, for steps that are launched singly and for the captured; and what graphs take.
        """
        self._most_tokens = tokens
        self._use((), 1)  # memory that steps have been captured over may be given back
        if self._device.type != "cuda":
            return None
        sizes = needed(self._sizes, tokens)
        graphs, most = len(sizes) + len(needed(ROWS, rows)), max(sizes[-1], tokens)
        with (
            _on(self._device),
            self._group.without_collectives(),
            explain_out_of_memory(f"a step of {tokens} tokens", self._device),
        ):
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
            self._try_out(most, min(rows, ROWS[-1]), longest)
            torch.cuda.synchronize(self._device)
            return 2 * (torch.cuda.max_memory_allocated(self._device) - before) + graphs * _GRAPH_BYTES

    @torch.inference_mode()
    def _try_out(self, tokens: int, rows: int, longest: int) -> None:
        """Run steps over memory with nothing but the block that nobody reads."""
        states = [_scratch(shape, self._kv_dtype, self._device) for shape in self._decoder.shapes]
        tiles = TileInputs.zeros(tokens, rows=1, tiles=1, longest=_BLOCK, block_size=_BLOCK, device=self._device)
        normed = self._decoder.hidden_states(states, tiles)
        self._decoder.logits(normed[: min(rows, tokens)])
        del normed, tiles
        decodes = DecodeInputs.zeros(rows, longest=longest, block_size=_BLOCK, device=self._device)
        self._decoder.logits(self._decoder.hidden_states(states, decodes))

    @torch.inference_mode()
    def prepare(self, context: InferenceContext) -> None:
        """Be ready for steps over a context: make room for their inputs, and capture them.

        Raises:
            SpecError: there is no memory for it.
        """
        context.clears = False  # its attention masks what it loads beyond a row's own tokens
        self._longest, self._slots = max(self._longest, context.max_length), max(self._slots, context.slots)
        most = context.slots * context.max_length
        with _on(self._device):
            self._use(context.layers, context.block_size)
            try:
                self._tiled.make(most if self._most_tokens is None else min(most, self._most_tokens))
                if not self._in_order:
                    self._decodes.make(context.slots)
            # Whatever it is: what has been captured so far must not keep its memory.
            except Exception:
                self._use((), 1)
                raise

    def release(self) -> None:
        """Drop the captured steps."""
        self._use((), 1)

    def _use(self, layers: tuple[LayerState, ...], block_size: int) -> None:
        """Drop all graphs and bind to another KV cache."""
        self._layers = layers
        # Freeing the last graph of a pool frees the pool.
        self._recorder = Recorder(self._device, self._group) if self._captures else None
        maker = StepMaker(
            decoder=self._decoder, layers=layers, slots=self._slots, longest=self._longest, block_size=block_size,
            tile=self._tile, recorder=self._recorder,
        )  # fmt: skip
        self._decodes, self._tiled = FixedSteps(ROWS, maker.decodes), FixedSteps(self._sizes, maker.tiles)

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens.

        Returns:
            This rank's logits [N, V / tp] in float32, good until the next step.
        """
        assert hidden is None, "there are no stages before"
        rows = len(batch.slots)
        with _on(batch.tokens.device):
            self._use_memory(batch.memory)
            decodes = batch.logit_index is None and len(batch.tokens) == rows
            if decodes and rows <= ROWS[-1] and not self._in_order:
                return self._decodes.run(batch, rows)
            return self._logits(batch, self._hidden_states(batch))

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say what the decoder lacks, or that single layers leave nothing behind."""
        if layers:
            return "captured steps keep no hidden states of single layers (accepted: execution: eager)"
        return why_no_final_states(self._decoder.last)

    @torch.inference_mode()
    def run_with_hidden_states(self, batch: StepBatch, hidden: Tensor | None = None) -> StepOutput:
        """Run a step, as `run`; its layers are captured as ever, what is made of them is launched singly."""
        assert hidden is None, "there are no stages before"
        last = self._decoder.last
        assert isinstance(last, HasFinalStates)
        with _on(batch.tokens.device):
            self._use_memory(batch.memory)
            left = self._hidden_states(batch)
            return StepOutput(self._logits(batch, left), last.final_states(left[batch.hidden_index]).float())

    def _use_memory(self, memory: AttentionMetadata) -> None:
        if self._layers is not memory.layers:
            self._use(memory.layers, memory.block_size)

    def _hidden_states(self, batch: StepBatch) -> Tensor:
        """What the last layer leaves of a step with prompts, [T, H], good until the next step."""
        memory, tokens = batch.memory, len(batch.tokens)
        if tokens <= self._tiled.most and self._stays_whole(memory):
            return self._tiled.run(batch, tokens)
        return self._decoder.hidden_states(memory.layers, self._inputs(batch))

    def _logits(self, batch: StepBatch, left: Tensor) -> Tensor:
        chosen = batch.logit_index
        return self._decoder.logits(left if chosen is None else left[chosen])

    def _stays_whole(self, memory: AttentionMetadata) -> bool:
        """Whether no row of one token has so long a history that it should be split."""
        return self._in_order or not len(memory.decodes) or memory.decode_length <= _LONGEST_UNSPLIT

    def _inputs(self, batch: StepBatch) -> StepInputs:
        return TileInputs.of(batch, self._tile) if self._in_order else ChunkInputs.of(batch, self._tile, self._longest)


def _on(device: torch.device) -> torch.cuda.device:
    """Choose a device: that is each thread's own choice, and Triton's kernels go to the one that is chosen."""
    return torch.cuda.device(device if device.type == "cuda" else -1)


def _scratch(shape: AttentionShape, dtype: torch.dtype, device: torch.device) -> LayerState:
    """A layer's memory with nothing but the block that nobody reads."""
    keys, values = (zeros((1, shape.kv_heads, _BLOCK, shape.head_dim), dtype, device) for _ in range(2))
    return LayerState(keys=keys, values=values, window=None)
