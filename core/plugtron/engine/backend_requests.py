"""What an engine with a model of its own has in the place of a controller: requests in, text and outputs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from plugtron.contracts.parts import Parts
from plugtron.engine.admission import check_request, tokenize
from plugtron.engine.live_sequence import LiveSequence
from plugtron.plugin.options import Params
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence, LogProbs, Prompt, RequestOutput
from plugtron.request.sampling_params import SamplingParams

__all__ = ["BackendRequests", "Generated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What a model has come to with a sequence: tokens, in order, or why there are none.

    What comes after a token that ends the sequence is left out.

    Args:
        log_probs: along the tokens, where the request asks for them.
        finished: the model goes no further, though none of the tokens is one to end at.
        error: why the request fails.
    """

    sequence: InferenceSequence
    tokens: tuple[int, ...] = ()
    log_probs: tuple[LogProbs, ...] = ()
    finished: FinishReason | None = None
    error: str | None = None


class BackendRequests:
    """Tokenizes prompts and checks requests; makes text of tokens, and ends sequences at what they ask for.

    A `RequestHandler`.

    Args:
        params: the fields of a request that are consumed.
        limit: the longest sequence, prompt and answer together.
        vocab_size: ids are below this.
        check: refuses what the model cannot do besides.
        begin, end: what else is to be done for a sequence that has got its slot, and before it loses it.
    """

    def __init__(
        self,
        parts: Parts,
        params: type[Params],
        *,
        limit: int,
        vocab_size: int,
        check: Callable[[InferenceRequest], None],
        begin: Callable[[InferenceSequence], None],
        end: Callable[[InferenceSequence], None],
    ) -> None:
        self.runtime = parts.runtime
        self._tokenizer = parts.tokenizer
        model_ends = parts.model.eos_ids if parts.model is not None else ()
        self._eos_ids = parts.tokenizer.eos_ids if parts.tokenizer is not None else model_ends
        self._consumed = frozenset(params.model_fields)
        self._limit = limit
        self._vocab_size = vocab_size
        self._check, self._begin, self._end = check, begin, end
        self._live: dict[int, LiveSequence] = {}
        self._outputs: list[RequestOutput] = []

    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a text, of ids (checked), or of the messages of a chat."""
        limit = self._limit if params.truncate_prompt_tokens is None else None
        return tokenize(prompt, self._tokenizer, self._vocab_size, chat, limit)

    def check(self, request: InferenceRequest) -> None:
        """Refuse what is not consumed, and what the model cannot do."""
        check_request(request, self._consumed, self._tokenizer, self._vocab_size)
        self._check(request)

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""
        assert sequence.slot is not None
        live = LiveSequence.begin(sequence, self._tokenizer, self._eos_ids, self._limit)
        self._begin(sequence)
        self._live[sequence.slot] = live

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence."""
        assert sequence.slot is not None
        if self._live.pop(sequence.slot, None) is not None:
            self._end(sequence)

    def take_outputs(self) -> list[RequestOutput]:
        """Return what has been added since the last call."""
        taken, self._outputs = self._outputs, []
        return taken

    def accept(self, generated: Generated) -> int:
        """Add what a model has generated, and return how many tokens that were; none to a sequence that has ended."""
        sequence = generated.sequence
        if sequence.finish_reason is not None or sequence.slot is None:
            return 0
        live = self._live[sequence.slot]
        try:
            count = self._push(live, generated.tokens)
        # A tokenizer's code, perhaps a plugin's: what it raises fails this request alone.
        except Exception as error:
            sequence.request.fail(f"{type(error).__name__}: {error}")
            return 0
        if sequence.finish_reason is None and generated.error is not None:
            sequence.request.fail(generated.error)
        if sequence.finish_reason is None and generated.finished is not None:
            live.end(generated.finished)
        log_probs = tuple(map(self._with_texts, generated.log_probs[:count]))
        sequence.log_probs.extend(log_probs)
        sequence.computed = sequence.length
        added, text = generated.tokens[:count], live.take_fresh()
        output = RequestOutput(sequence.request, sequence.index, text, added, sequence.finish_reason, log_probs)
        self._outputs.append(output)
        return count

    def _push(self, live: LiveSequence, tokens: Iterable[int]) -> int:
        """Add tokens until one ends the sequence; return how many."""
        count, now = 0, time.perf_counter()
        for token in tokens:
            count += 1
            if live.push(token, now) is not None:
                break
        return count

    def _with_texts(self, entry: LogProbs) -> LogProbs:
        if self._tokenizer is None:
            return entry
        bytes_of = self._tokenizer.token_bytes
        texts = {token: bytes_of(token).decode(errors="replace") for token in (entry.token, *entry.top)}
        return replace(entry, texts=texts)
