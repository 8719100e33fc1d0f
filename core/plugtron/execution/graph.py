"""The graph execution: steps over Triton kernels on a GPU, captured once per number of rows or of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.context.base import InferenceContext
from plugtron.context.memory import LayerState, MemoryView
from plugtron.context.memory_size import explains_lack
from plugtron.contracts.step import StepBatch
from plugtron.errors import SpecError
from plugtron.execution.fixed_steps import FixedSteps, StepMaker
from plugtron.execution.kernel_step import hidden_states, logits
from plugtron.execution.recorder import Recorder
from plugtron.execution.step_inputs import ChunkInputs, StepInputs, TileInputs
from plugtron.execution.weights_read import layer_weights, weight_bytes
from plugtron.kernels.triton.chunk_attention import tile_tokens
from plugtron.nn.attention import AttentionShape
from plugtron.nn.decoder import TransformerDecoder

__all__ = ["ROWS", "TOKENS", "GraphExecution"]

#: Numbers of rows that decode steps are captured for.
ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
#: Numbers of tokens that steps with prompts are captured for. Larger ones compute for longer than they take to launch.
TOKENS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
#: Rows of one token attend in tiles as far as this; beyond, splitting a history is worth more than a graph.
_LONGEST_UNSPLIT = 4096
#: How many tokens a block has where it does not matter.
_BLOCK = 16


class GraphExecution:
    """Replays steps; those that there is no graph for have their kernels launched one by one.

    Args:
        decoder: all of it, made of blocks of plugtron.nn alone.
        dtype: what hidden states are in.
        captures: steps are captured; else their kernels are launched one by one, which any device can do.
        in_order: a token's bits must not depend on what else is in a step, so that all attend in the same tiles.
    """

    def __init__(self, decoder: TransformerDecoder, *, dtype: torch.dtype, captures: bool, in_order: bool) -> None:
        self._decoder = decoder
        self._captures = captures
        self._in_order = in_order
        shape = decoder.layers[0].attention.shape
        self._tile = tile_tokens(shape.heads // shape.kv_heads, shape.head_dim * dtype.itemsize)
        self._longest = 0
        self._layers: tuple[LayerState, ...] = ()
        self._recorder: Recorder | None = None
        self.hidden_dtype = dtype

    @property
    def weight_bytes(self) -> int:
        """Of everything but an embedding that is no head."""
        return weight_bytes(self._decoder)

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        return layer_weights(self._decoder)

    @property
    def capture_seconds(self) -> float:
        """How long it has taken to capture the steps."""
        return 0.0 if self._recorder is None else self._recorder.seconds

    @property
    def capture_bytes(self) -> int:
        """What graphs, and the memory that they work in, have taken of the device."""
        return 0 if self._recorder is None else self._recorder.bytes

    @torch.inference_mode()
    def working_bytes(self, rows: int, tokens: int) -> int | None:
        """Run a step of so many tokens, of which `rows` want logits; return what it takes to work in, on a GPU."""
        device = next(self._decoder.parameters()).device
        if device.type != "cuda":
            return None
        with _on(device), explains_lack(f"a step of {tokens} tokens", device):
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            inputs = TileInputs.zeros(tokens, longest=1, block_size=_BLOCK, device=device)
            states = [_scratch(layer.attention.shape, self.hidden_dtype, device) for layer in self._decoder.layers]
            chosen = torch.arange(min(rows, tokens), device=device)
            logits(self._decoder, hidden_states(self._decoder, states, inputs), chosen)
            torch.cuda.synchronize(device)
            return torch.cuda.max_memory_allocated(device) - before

    @torch.inference_mode()
    def prepare(self, context: InferenceContext) -> None:
        """Be ready for steps over a context: make room for their inputs, and capture them.

        Raises:
            SpecError: there is no memory for it.
        """
        self._longest = max(self._longest, context.max_length)
        with _on(context.last_tokens.device):
            self._use(context.layers, context.block_size)
            try:
                self._tiled.make(context.slots * context.max_length)
                if not self._in_order:
                    self._decodes.make(context.slots)
            except SpecError:
                self._use(context.layers, context.block_size)  # which lets go of what has been captured
                raise

    def _use(self, layers: tuple[LayerState, ...], block_size: int) -> None:
        """Begin anew, over other memory."""
        self._layers = layers
        # A pool of memory is over with the last of its graphs.
        self._recorder = Recorder(layers[0].keys.device) if self._captures else None
        maker = StepMaker(
            decoder=self._decoder, layers=layers, longest=self._longest, block_size=block_size,
            tile=self._tile, recorder=self._recorder,
        )  # fmt: skip
        self._decodes, self._tiled = FixedSteps(ROWS, maker.decodes), FixedSteps(TOKENS, maker.tiles)

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens.

        Returns:
            This rank's logits [N, V / tp] in float32, good until the next step.
        """
        assert hidden is None, "there are no stages before"
        memory, rows, tokens = batch.memory, len(batch.slots), len(batch.tokens)
        with _on(batch.tokens.device):
            if self._layers is not memory.layers:
                self._use(memory.layers, memory.block_size)
            decodes = batch.logit_index is None and tokens == rows
            if decodes and rows <= ROWS[-1] and not self._in_order:
                return self._decodes.run(batch, rows)
            if tokens <= TOKENS[-1] and self._stays_whole(memory):
                normed = self._tiled.run(batch, tokens)
            else:
                normed = hidden_states(self._decoder, memory.layers, self._inputs(batch))
            return logits(self._decoder, normed, batch.logit_index)

    def _stays_whole(self, memory: MemoryView) -> bool:
        """Whether no row of one token has so long a history that it should be split."""
        return self._in_order or not len(memory.decodes) or memory.decode_length <= _LONGEST_UNSPLIT

    def _inputs(self, batch: StepBatch) -> StepInputs:
        return TileInputs.of(batch, self._tile) if self._in_order else ChunkInputs.of(batch, self._longest)


def _on(device: torch.device) -> torch.cuda.device:
    """Choose a device: that is each thread's own choice, and Triton's kernels go to the one that is chosen."""
    return torch.cuda.device(device if device.type == "cuda" else -1)


def _scratch(shape: AttentionShape, dtype: torch.dtype, device: torch.device) -> LayerState:
    """A layer's memory with nothing but the block that nobody reads."""
    keys, values = torch.zeros(2, 1, shape.kv_heads, _BLOCK, shape.head_dim, dtype=dtype, device=device)
    return LayerState(keys=keys, values=values, window=None)
