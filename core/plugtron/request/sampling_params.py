"""What a request asks of sampling: the field's standard vocabulary, and room for what plugins add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from plugtron.errors import RequestError
from plugtron.request.ids_and_biases import Bias, bias_number, token_id
from plugtron.utils.validation import describe

__all__ = ["DEFAULTS", "DEFAULT_MAX_TOKENS", "Bias", "ParamsLike", "SamplingParams"]

#: The default of max_tokens.
DEFAULT_MAX_TOKENS = 256
#: What unset parameters amount to, where it is something else than nothing.
DEFAULTS = {"temperature": 1.0, "max_tokens": DEFAULT_MAX_TOKENS}


#: What bytes that are no UTF-8 become in a text.
REPLACEMENT = "\ufffd"
#: Other software's words for the same, and ours.
_ALIASES = {"min_length": "min_tokens"}

#: What may be asked for together with an embedding.
_OF_EMBEDDINGS = frozenset({"pooling", "normalize", "hidden_layers", "truncate_prompt_tokens", "max_tokens"})

_SOURCE_OPENAI: JsonDict = {"source": "OpenAI's API"}
_SOURCE_VLLM: JsonDict = {"source": "vLLM"}


class SamplingParams(BaseModel):
    """How the tokens of one request are chosen and when it ends. None means "not asked for".

    Unset, tokens are drawn from the model's own distribution (temperature 1), at most DEFAULT_MAX_TOKENS of them: on
    the command line, in spec files and in Python alike.
    A plugin's own parameters stand in `extra`; spec files and `from_flat` write them beside the others.

    Raises:
        RequestError: an unknown name, a value out of range, or a combination that cannot be.
    """

    # Strict: Python, spec files and files of prompts take the same values, no texts or truth values for numbers.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    temperature: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="logits are divided by it; 0 is greedy: the most likely token is taken",
        json_schema_extra={"unset": DEFAULTS["temperature"], **_SOURCE_OPENAI},
    )
    top_k: int | None = Field(
        default=None,
        ge=-1,
        lt=2**31,
        description="only the k most likely; 0 and -1 keep all",
        json_schema_extra={"source": "arXiv:1805.04833"},
    )
    top_p: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="only the most likely that together have this probability; 1 keeps all",
        json_schema_extra={"source": "arXiv:1904.09751"},
    )
    min_p: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="only what is at least this likely, relative to the most likely; 0 keeps all",
        json_schema_extra={"source": "arXiv:2407.01082"},
    )
    repetition_penalty: float | None = Field(
        default=None,
        ge=1e-3,
        le=1e3,
        description="logits of ids in prompt or answer are divided by it if positive, else multiplied",
        json_schema_extra={"source": "arXiv:1909.05858"},
    )
    presence_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="subtracted from the logits of ids in the answer",
        json_schema_extra=_SOURCE_OPENAI,
    )
    frequency_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="subtracted from the logits of ids in the answer, once for each occurrence",
        json_schema_extra=_SOURCE_OPENAI,
    )
    logit_bias: dict[int, Bias] | None = Field(
        default=None,
        description="added to the logit of each token id; -inf: it is never drawn",
        json_schema_extra=_SOURCE_OPENAI,
    )
    allowed_token_ids: list[int] | None = Field(
        default=None, min_length=1, description="only these ids may be drawn", json_schema_extra=_SOURCE_VLLM
    )
    bad_words: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="texts that the answer never has in it, whichever tokens would spell them; case matters",
        json_schema_extra=_SOURCE_VLLM,
    )
    min_tokens: int | None = Field(
        default=None,
        ge=0,
        description="no stop token is drawn before this many tokens; also min_length",
        json_schema_extra=_SOURCE_VLLM,
    )
    stop: list[str] | None = Field(
        default=None,
        description="texts that end the request, and are cut off; the text of a special token ends it at that token",
        json_schema_extra=_SOURCE_OPENAI,
    )
    stop_token_ids: list[int] | None = Field(
        default=None, description="ids that end the request, besides the model's own", json_schema_extra=_SOURCE_VLLM
    )
    ignore_eos: bool | None = Field(
        default=None, description="go on after the model's own end", json_schema_extra=_SOURCE_VLLM
    )
    max_tokens: int | None = Field(
        default=None,
        ge=-1,
        description="tokens of each answer; -1: up to the sequence limit",
        json_schema_extra={"unset": DEFAULTS["max_tokens"], **_SOURCE_OPENAI},
    )
    truncate_prompt_tokens: int | None = Field(
        default=None,
        ge=-1,
        description="only the last k tokens of the prompt are used; -1: as many as leave room for max_tokens",
        json_schema_extra=_SOURCE_VLLM,
    )
    seed: int | None = Field(
        default=None,
        ge=-1,
        lt=2**63,
        description="what the draws depend on; -1: a fresh one, also where the run has a seed",
        json_schema_extra=_SOURCE_OPENAI,
    )
    n: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="independent answers to one prompt",
        json_schema_extra={"unset": 1, **_SOURCE_OPENAI},
    )
    logprobs: int | None = Field(
        default=None,
        ge=0,
        description="log probabilities of the token drawn and of the top n",
        json_schema_extra=_SOURCE_VLLM,
    )
    logprobs_mode: Literal["raw", "processed"] | None = Field(
        default=None,
        description="of the model's own logits, or of what the chain has made of them",
        json_schema_extra={"unset": "raw", **_SOURCE_VLLM},
    )
    prompt_logprobs: int | None = Field(
        default=None,
        ge=0,
        description="log probabilities of the prompt's tokens and of the top n at each",
        json_schema_extra=_SOURCE_VLLM,
    )
    prompt_logprobs_start: int | None = Field(
        default=None,
        ge=0,
        description="the first token of the prompt to report; those before may come from memory",
        json_schema_extra={"unset": 0, "needs": "prompt_logprobs", "source": "SGLang (logprob_start_len)"},
    )
    pooling: Literal["last", "mean", "cls"] | None = Field(
        default=None,
        description="an embedding is wanted, no answer: the final hidden state of the prompt's last token, of its "
        "first, or the mean of all",
        json_schema_extra=_SOURCE_VLLM,
    )
    normalize: bool | None = Field(
        default=None,
        description="the embedding has length 1",
        json_schema_extra={"unset": True, "needs": "pooling", "source": "sentence-transformers"},
    )
    hidden_layers: list[int] | None = Field(
        default=None,
        min_length=1,
        description="hidden states of all tokens after these layers, too: 0 is the embedding layer, -1 the final norm",
        json_schema_extra={"needs": "pooling", "source": "transformers (output_hidden_states)"},
    )
    echo: bool | None = Field(
        default=None,
        description="begin the text with the prompt's",
        json_schema_extra={"unset": False, **_SOURCE_OPENAI},
    )
    skip_special_tokens: bool | None = Field(
        default=None,
        description="leave special tokens out of the text",
        json_schema_extra={"unset": True, "source": "transformers"},
    )
    spaces_between_special_tokens: bool | None = Field(
        default=None,
        description="where special tokens are in the text: set them off with spaces",
        json_schema_extra={"unset": False, "source": "transformers"},
    )
    include_stop_str_in_output: bool | None = Field(
        default=None,
        description="keep the stop text that was met",
        json_schema_extra={"unset": False, **_SOURCE_VLLM},
    )
    extra: dict[str, Any] = Field(default_factory=dict)

    if not TYPE_CHECKING:  # type checkers keep the signature that pydantic derives from the fields

        def __init__(self, **values: object) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise RequestError(found=describe(error, type(self), values)) from None

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, values: object) -> object:
        """Values of numpy and torch as Python has them, and the names that other software uses."""
        if not isinstance(values, Mapping):
            return values
        plain: dict[Any, Any] = {}
        for name, value in values.items():
            name = _ALIASES.get(name, name)
            value = value.tolist() if hasattr(value, "tolist") else value
            if name in plain and plain[name] != value:
                raise ValueError(f"{name}: is given twice, as {plain[name]!r} and {value!r}")
            plain[name] = value
        return plain

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _ids_as_keys(cls, value: object) -> object:
        """JSON has no keys but texts."""
        if not isinstance(value, Mapping):
            return value
        return {token_id(key): bias_number(bias) for key, bias in value.items()}

    @field_validator("allowed_token_ids", "stop_token_ids", "hidden_layers", mode="before")
    @classmethod
    def _list_of_ids(cls, value: object) -> object:
        return list(map(token_id, value)) if isinstance(value, list | tuple) else value

    @field_validator("stop", "bad_words", mode="before")
    @classmethod
    def _list_of_texts(cls, value: object) -> object:
        return [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else value

    @field_validator("stop")
    @classmethod
    def _no_empty_stop_text(cls, value: list[str] | None) -> list[str] | None:
        if value and "" in value:
            raise ValueError("an empty text would stop at once")
        return value

    @field_validator("bad_words")
    @classmethod
    def _can_be_looked_for(cls, value: list[str] | None) -> list[str] | None:
        # Bytes that are no UTF-8 become U+FFFD in the text, so that no token would be seen to have it.
        if any(REPLACEMENT in word for word in value or ()):
            raise ValueError("must not have U+FFFD in it, which stands for bytes that are no text")
        return value

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _something_stays(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("must be -1 or at least 1 (got 0): nothing would be left of the prompt")
        return value

    @model_validator(mode="after")
    def _something_may_be_drawn(self) -> Self:
        biases = self.logit_bias or {}
        if self.allowed_token_ids and all(biases.get(token) == float("-inf") for token in self.allowed_token_ids):
            raise ValueError("logit_bias: is -inf for each of allowed_token_ids, so that none could be drawn")
        return self

    @model_validator(mode="after")
    def _greedy_has_one_answer(self) -> Self:
        if self.greedy and self.answers > 1:
            raise ValueError(f"n: {self.n} answers with temperature 0 would all be the same; set temperature above 0")
        return self

    @model_validator(mode="after")
    def _an_embedding_draws_nothing(self) -> Self:
        if self.pooling is None:
            return self
        if self.max_tokens:
            raise ValueError(
                f"max_tokens: an embedding has no answer (accepted beside pooling: 0; got {self.max_tokens})"
            )
        others = [name for name in self.asked() if name not in _OF_EMBEDDINGS]
        if others:
            raise ValueError(
                f"{others[0]}: changes nothing beside pooling (accepted there: {', '.join(sorted(_OF_EMBEDDINGS))})"
            )
        return self

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0

    @property
    def most_tokens(self) -> int | None:
        """How many tokens an answer may have; None: as many as the sequence limit leaves room for."""
        if self.pooling is not None:
            return 0
        most = DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens
        return None if most < 0 else most

    @property
    def reads_prompt(self) -> bool:
        """Whether something is wanted of the prompt itself, so that a request without an answer is computed, too."""
        return self.prompt_logprobs is not None or self.pooling is not None

    @property
    def answers(self) -> int:
        """How many sequences the request asks for."""
        return self.n or 1

    @classmethod
    def standard_names(cls) -> tuple[str, ...]:
        """The names of the standard vocabulary, without `extra`."""
        return tuple(name for name in cls.model_fields if name != "extra")

    @classmethod
    def accepted_names(cls) -> tuple[str, ...]:
        """The names of the standard vocabulary, and the other words for some of them."""
        return (*cls.standard_names(), *_ALIASES)

    @classmethod
    def field_of(cls, name: str) -> str:
        """The field that a name stands for."""
        return _ALIASES.get(name, name)

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> SamplingParams:
        """Read parameters as they stand in a spec file, a plugin's beside the standard ones."""
        known = cls.accepted_names()
        standard = {name: value for name, value in values.items() if name in known}
        return cls(**standard, extra={name: value for name, value in values.items() if name not in standard})

    def to_flat(self) -> dict[str, Any]:
        """The inverse of `from_flat`: what is set, plugin parameters beside the others."""
        return {**self.model_dump(exclude={"extra"}, exclude_none=True), **self.extra}

    def asked(self) -> dict[str, Any]:
        """All parameters that are set, by name, as samplers and the controller consume them."""
        return {name: value for name, value in self.to_flat().items() if value is not None}

    def over(self, defaults: SamplingParams) -> SamplingParams:
        """These parameters, with `defaults` where they say nothing; for an embedding, those that it takes."""
        own, others = self.asked(), defaults.to_flat()
        if self.pooling is not None:
            others = {name: value for name, value in others.items() if name in _OF_EMBEDDINGS - {"max_tokens"}}
        return SamplingParams.from_flat({**others, **own})


#: Parameters, or a mapping with their names.
ParamsLike: TypeAlias = SamplingParams | Mapping[str, Any]
