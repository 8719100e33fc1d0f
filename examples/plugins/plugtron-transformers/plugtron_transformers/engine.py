"""The engine: a forward pass for each sequence and step, each over a cache of its own."""

from __future__ import annotations

from collections.abc import Iterable

from plugtron import Options
from plugtron.contracts import Parts
from plugtron.engine import BackendEngine, Generated, sequence_limit
from plugtron.request import InferenceSequence
from plugtron_transformers.drawing import Drawing
from plugtron_transformers.model import LanguageModel, Progress
from plugtron_transformers.options import TransformersOptions, TransformersParams

__all__ = ["TransformersEngine"]


class TransformersEngine(BackendEngine):
    """Runs any causal language model that transformers can load.

    Raises:
        CheckpointError: transformers cannot load it.
        SpecError: the model cannot go as far as `max_sequence_length`.
    """

    params = TransformersParams

    def __init__(self, parts: Parts, options: TransformersOptions) -> None:
        model = LanguageModel(parts, options)
        limit = sequence_limit(options.max_sequence_length, model.max_positions)
        super().__init__(parts, slots=options.max_batch_size, limit=limit, vocab_size=model.vocab_size)
        self._model = model
        self._under_way: dict[InferenceSequence, tuple[Progress, Drawing]] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TransformersEngine:
        """Build from a spec."""
        assert isinstance(options, TransformersOptions)
        return cls(parts, options)

    def begin_sequence(self, sequence: InferenceSequence) -> None:
        """Make a cache for it."""
        progress = self._model.begin(sequence.request.prompt_tokens)
        self._under_way[sequence] = progress, Drawing(sequence, self._model.device)

    def advance(self) -> Iterable[Generated]:
        """A token for each sequence; one that fails fails alone."""
        return [self._next(sequence, *state) for sequence, state in self._under_way.items()]

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Give its cache back."""
        self._under_way.pop(sequence, None)

    def _next(self, sequence: InferenceSequence, progress: Progress, drawing: Drawing) -> Generated:
        try:
            token, log_probs = drawing.draw(self._model.next_logits(progress))
        except Exception as error:
            return Generated(sequence=sequence, error=f"transformers: {type(error).__name__}: {error}")
        progress.coming.append(token)
        return Generated(sequence=sequence, tokens=(token,), log_probs=log_probs)
