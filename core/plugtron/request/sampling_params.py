"""What a request asks of sampling: the field's standard vocabulary, and room for what plugins add."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plugtron.errors import RequestError
from plugtron.utils.validation import describe

__all__ = ["DEFAULTS", "DEFAULT_MAX_TOKENS", "Bias", "ParamsLike", "SamplingParams"]

#: The default of max_tokens.
DEFAULT_MAX_TOKENS = 256
#: What unset parameters amount to, where it is something else than nothing.
DEFAULTS = {"temperature": 1.0, "max_tokens": DEFAULT_MAX_TOKENS}


#: Other software's words for the same, and ours.
_ALIASES = {"min_length": "min_tokens"}

Bias = Annotated[float, Field(ge=-1e6, le=1e6)]


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

    temperature: float | None = Field(default=None, ge=0, le=1e6, description="0 is greedy")
    top_k: int | None = Field(default=None, ge=-1, lt=2**31, description="0 and -1 keep all")
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=1e-3, le=1e3)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[int, Bias] | None = Field(default=None, description="added to the logit of each token id")
    allowed_token_ids: list[int] | None = Field(default=None, min_length=1)
    min_tokens: int | None = Field(default=None, ge=0, description="no stop token is drawn before this many tokens")
    stop: list[str] | None = Field(
        default=None,
        description="texts that end the request, and are cut off; the text of a special token ends it at that token",
    )
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    max_tokens: int | None = Field(
        default=None, ge=-1, description="tokens of each answer, 256 by default; -1: up to the sequence limit"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    n: int | None = Field(default=None, ge=1, le=1024, description="independent answers to one prompt")
    logprobs: int | None = Field(
        default=None, ge=0, description="log probabilities of the token drawn and of the top n"
    )
    logprobs_mode: Literal["raw", "processed"] | None = None
    prompt_logprobs: int | None = Field(
        default=None, ge=0, description="log probabilities of the prompt's tokens and of the top n at each"
    )
    prompt_logprobs_start: int | None = Field(
        default=None,
        ge=0,
        description="the first token of the prompt to report; those before may come from memory",
    )
    echo: bool | None = Field(default=None, description="begin the text with the prompt's")
    skip_special_tokens: bool | None = Field(default=None, description="leave special tokens out of the text (default)")
    spaces_between_special_tokens: bool | None = Field(
        default=None, description="where special tokens are in the text: set them off with spaces"
    )
    include_stop_str_in_output: bool | None = Field(default=None, description="keep the stop text that was met")
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
        return {_id(key): bias.tolist() if hasattr(bias, "tolist") else bias for key, bias in value.items()}

    @field_validator("allowed_token_ids", "stop_token_ids", mode="before")
    @classmethod
    def _list_of_ids(cls, value: object) -> object:
        return list(map(_id, value)) if isinstance(value, list | tuple) else value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_text(cls, value: object) -> object:
        return [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else value

    @field_validator("stop")
    @classmethod
    def _no_empty_stop_text(cls, value: list[str] | None) -> list[str] | None:
        if value and "" in value:
            raise ValueError("an empty text would stop at once")
        return value

    @model_validator(mode="after")
    def _greedy_has_one_answer(self) -> Self:
        if self.greedy and self.answers > 1:
            raise ValueError(f"n: {self.n} answers with temperature 0 would all be the same; set temperature above 0")
        return self

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0

    @property
    def most_tokens(self) -> int | None:
        """How many tokens an answer may have; None: as many as the sequence limit leaves room for."""
        most = DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens
        return None if most < 0 else most

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
        """These parameters, with `defaults` where they say nothing."""
        return SamplingParams.from_flat({**defaults.to_flat(), **self.asked()})


#: Parameters, or a mapping with their names.
ParamsLike: TypeAlias = SamplingParams | Mapping[str, Any]


def _id(value: Any) -> Any:
    """A token id as an int: whole numbers of any library, and the keys of JSON."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else value
    return index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value
