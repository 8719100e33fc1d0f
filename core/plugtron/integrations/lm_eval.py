"""A model of lm-evaluation-harness: `lm_eval.simple_evaluate(PlugtronLM("smollm2-135m-instruct"), tasks=[...])`.

Needs the extra `eval`. Importing this module registers the name "plugtron" with the harness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports] - in an environment of its own
from lm_eval.api.model import TemplateLM  # pyright: ignore[reportMissingImports]
from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # pyright: ignore[reportMissingImports]

from plugtron.llm import LLM
from plugtron.request.chat_options import ChatOptions
from plugtron.request.sampling_params import SamplingParams
from plugtron.scores import score_continuations
from plugtron.tokenizer.chat import render_chat

__all__ = ["PlugtronLM"]

_MAX_TOKENS = 256


@register_model("plugtron")
class PlugtronLM(TemplateLM):
    """Any checkpoint and any layout of ranks that `LLM` runs.

    Args:
        model: an LLM, which stays its owner's, or what LLM takes as a model.
        engine, dtype, quantization, tensor_parallel, pipeline_parallel, device: as LLM.
        max_length: tokens that are computed together; by default what the engine allows.
        max_gen_toks: tokens of an answer where a task does not say.
        add_bos_token: begin texts with BOS where the tokenizer does so; as in the harness's own models, not by default.
        batch_size: ignored: the harness passes it, and the engine forms its own batches.
    """

    def __init__(
        self,
        model: str | LLM = "smollm2-135m-instruct",
        *,
        engine: str = "dynamic",
        dtype: str = "auto",
        quantization: str | None = None,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        device: str | None = None,
        max_length: int | None = None,
        max_gen_toks: int = _MAX_TOKENS,
        add_bos_token: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        del batch_size, max_batch_size
        self.max_gen_toks = max_gen_toks
        self._add_bos = add_bos_token
        self.llm = (
            model
            if isinstance(model, LLM)
            else LLM(
                model,
                engine=engine,
                dtype=dtype,
                quantization=quantization,
                tensor_parallel=tensor_parallel,
                pipeline_parallel=pipeline_parallel,
                device=device or "auto",
                overrides={} if max_length is None else {"engine.options.max_sequence_length": max_length + 1},
            )
        )
        if self.llm.tokenizer is None:
            raise ValueError("lm-evaluation-harness has texts, and this checkpoint has no tokenizer")
        self._tokenizer = self.llm.tokenizer
        self._rank = self.llm.session.parts.runtime.world.rank

    @property
    def eot_token_id(self) -> int:
        """What a text ends with."""
        return self._tokenizer.eos_ids[0]

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that follows nothing."""
        return self.eot_token_id if self._tokenizer.bos_id is None else self._tokenizer.bos_id

    @property
    def max_length(self) -> int:
        """Tokens that are computed together: all of a sequence but the last, which nothing follows."""
        most = self.llm.session.engine.max_sequence_length
        assert most is not None, "plugtron's engines have a limit"
        return most - 1

    @property
    def tokenizer_name(self) -> str:
        """Tells cached requests of different tokenizers apart."""
        return self.llm.session.resolved.spec.model.checkpoint.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids of a text."""
        add_special = self._add_bos if add_special_tokens is None else add_special_tokens
        return self._tokenizer.encode(string, add_special=add_special)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Write a conversation out with the checkpoint's template."""
        chat = ChatOptions.checked({"add_generation_prompt": add_generation_prompt})
        return render_chat(self._tokenizer, chat_history, chat)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[object, list[int], list[int]]], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Log probability, and whether greedy decoding gives it. What is too long loses its beginning."""
        del disable_tqdm
        pairs = []
        for _, context, continuation in requests:
            whole = [*context, *continuation][-self.max_length - 1 :]
            place = max(1, len(whole) - len(continuation))
            pairs.append((whole[:place], whole[place:]))
        return [(score.log_prob, score.is_greedy) for score in _checked(score_continuations(self.llm.session, pairs))]

    def loglikelihood_rolling(self, requests: Iterable[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log probabilities of whole texts, in the harness's own windows."""
        del disable_tqdm
        pairs: list[tuple[list[int], list[int]]] = []
        owners: list[int] = []
        texts = [each.args[0] for each in requests]
        for number, text in enumerate(texts):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for window in windows:
                pairs.append(make_disjoint_window(window))
                owners.append(number)
        totals = [0.0] * len(texts)
        for number, score in zip(owners, _checked(score_continuations(self.llm.session, pairs)), strict=True):
            totals[number] += score.log_prob
        return totals

    def generate_until(self, requests: Iterable[Instance], disable_tqdm: bool = False) -> list[str]:
        """Continue prompts to one of their stop texts."""
        del disable_tqdm
        each = [instance.args for instance in requests]
        params = [self._params(asked) for _, asked in each]
        prompts = []
        for (context, _), own in zip(each, params, strict=True):
            room = max(1, self.max_length + 1 - (own.most_tokens or 0))
            prompts.append(self.tok_encode(context)[-room:])
        answers = _checked(self.llm.generate(prompts, params)) if prompts else []
        return [answer.text for answer in answers]

    def _params(self, asked: Mapping[str, Any]) -> SamplingParams:
        """A task's words for what is sampled."""
        left = dict(asked)
        until = left.pop("until", None) or []
        most = left.pop("max_gen_toks", self.max_gen_toks)
        samples = left.pop("do_sample", left.get("temperature", 0) != 0)
        temperature = left.pop("temperature", 1.0) if samples else 0
        left.pop("temperature", None)
        stop = [until] if isinstance(until, str) else [text for text in until if text]
        return SamplingParams.from_flat(
            {"temperature": float(temperature), "max_tokens": most, **({"stop": stop} if stop else {}), **left}
        )


def _checked(results: Any) -> Any:
    for number, result in enumerate(results):
        if result.error is not None:
            raise ValueError(f"request {number}: {result.error}")
    return results
