"""The spec: one page of data that names the parts of a run and their options. It can never carry code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from plugtron.request.chat_options import ChatOptions, message_problem
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.section import ComponentRef, Section
from plugtron.spec.serve import ServeSpec
from plugtron.spec.words import hint
from plugtron.utils.validation import Form, plain

__all__ = [
    "DEFAULT_CHAIN",
    "ChatMessage",
    "ComponentRef",
    "ModelSpec",
    "OutputSpec",
    "ParallelSpec",
    "PluginsSpec",
    "PromptFile",
    "PromptSpec",
    "Prompts",
    "Spec",
]

#: What `samplers: [default]` stands for, in the order in which they apply.
DEFAULT_CHAIN = (
    "allowed_tokens",
    "grammar",
    "min_tokens",
    "bad_words",
    "no_repeat_ngram",
    "logit_bias",
    "encoder_penalty",
    "penalties",
    "dry",
    "dynamic_temperature",
    "temperature",
    "top_n_sigma",
    "top_k",
    "min_p",
    "typical_p",
    "top_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "xtc",
    "mirostat",
)


class ModelSpec(Section):
    """Which weights, and how they are held. `checkpoint` is an alias, a path, or a hub id."""

    checkpoint: str = Field(min_length=1)
    wrapper: ComponentRef = ComponentRef(name="auto")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: ComponentRef | None = Field(
        default=None,
        description="how the weights of linear layers are held; null: in dtype, or as MXFP4 where that is stored",
    )
    kv_dtype: Literal["auto", "int8", "fp8"] = Field(
        default="auto",
        description="of keys and values in memory; auto: dtype; int8: with a scale for each, not on graphs; fp8: e4m3, "
        "not on a native step",
    )


class ParallelSpec(Section):
    """How many ranks there are: those that share each layer, stages of layers, and replicas that share the prompts."""

    tensor: int = Field(default=1, ge=1, le=65536)
    pipeline: int = Field(default=1, ge=1, le=65536)
    data: int = Field(default=1, ge=1, le=65536)
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    timeout: float = Field(
        default=300.0, gt=0, le=1e7, description="seconds without a sign of life after which a rank is given up"
    )

    @property
    def ranks(self) -> int:
        """The processes that a run takes."""
        return self.tensor * self.pipeline * self.data


def _checked_message(message: dict[str, Any]) -> dict[str, Any]:
    problem = message_problem(message)
    if problem is not None:
        raise ValueError(problem)
    return message


ChatMessage = Annotated[dict[str, Any], AfterValidator(_checked_message)]


class PromptSpec(Section, ChatOptions):
    """One prompt: exactly one of text, token ids and chat messages, and what is asked for it alone."""

    prompt: str | None = None
    tokens: list[int] | None = None
    messages: Annotated[list[ChatMessage] | None, Form("a list such as [{role: user, content: Hello}]")] = Field(
        default=None, min_length=1
    )
    sampling: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(default=0, gt=-(2**63), lt=2**63, description="higher goes first")
    deadline: float | None = Field(default=None, gt=0, lt=1e9, description="seconds until it ends with what it has")
    cache_salt: str = Field(default="", description="only equal ones share what memory has of a common prefix")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            return {"prompt": value}
        if isinstance(value, list):
            return {"tokens": value}
        if not isinstance(value, Mapping | cls):
            raise ValueError(
                "must be a text, a list of token ids, or a mapping with one of prompt, tokens, messages "
                f"(got {plain(value)}); a text such as yes, no, null or 3 needs quotes"
            )
        if isinstance(value, Mapping) and {"role", "content"} <= set(value):
            raise ValueError("is one message of a chat: write {messages: [{role: ..., content: ...}]}")
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, rest),) = value.items()
            if " " in str(name).strip() and name not in cls.model_fields:
                raise ValueError(f"a text with a colon in it needs quotes: {f'{name}: {rest}'!r}")
        return value

    @classmethod
    def hint(cls, name: str) -> str:
        """What to say to who writes a name that is no field here."""
        if SamplingParams.field_of(name) in SamplingParams.model_fields:
            return f" It is a parameter: write sampling: {{{name}: ...}}."
        return hint(name)

    @model_validator(mode="after")
    def _exactly_one(self) -> PromptSpec:
        given = [name for name in ("prompt", "tokens", "messages") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of prompt, tokens, messages (got {', '.join(given) or 'none'})")
        return self

    @property
    def chat(self) -> ChatOptions:
        """How the messages are written out."""
        return chat_options(self)


def chat_options(section: ChatOptions) -> ChatOptions:
    """The chat options that are set among the fields of a section."""
    own = section.model_fields_set & set(ChatOptions.model_fields)
    return ChatOptions(**{name: getattr(section, name) for name in own})


class PromptFile(Section):
    """Prompts in a file of JSON lines: each line a text, a list of ids, or a mapping as `PromptSpec` has it."""

    file: str = Field(min_length=1)


def _no_truth(value: object) -> object:
    """To Python, true is 1."""
    return str(value).lower() if isinstance(value, bool) else value


def _form_of_prompts(value: object) -> str:
    return "file" if isinstance(value, dict | PromptFile) else "list"


#: Two forms, told apart before validation so that a mistake is reported for the form that was meant.
Prompts = Annotated[
    Annotated[list[PromptSpec], Tag("list")] | Annotated[PromptFile, Tag("file")], Discriminator(_form_of_prompts)
]


class OutputSpec(Section):
    """Where results go, as JSON lines."""

    file: str = Field(min_length=1)


class PluginsSpec(Section):
    """Distributions that must be there ("acme-samplers>=1.2"), plugins not to import, and what observers get."""

    require: list[str] = Field(default_factory=list)
    disable: list[str] = Field(default_factory=list)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="of observers, by plugin")


class Spec(Section, ChatOptions):
    """A run: model, parts, parameters, prompts; the fields of ChatOptions hold for all its messages.

    `seed` is what the requests without a seed of their own derive theirs from; None: a fresh one each run.
    """

    version: Annotated[Literal[1], BeforeValidator(_no_truth)] = 1
    model: Annotated[ModelSpec, Form("a mapping such as {checkpoint: smollm2-135m-instruct}")]
    tokenizer: ComponentRef = ComponentRef(name="auto")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of each rank; null: the cores, shared out over the ranks"
    )
    execution: ComponentRef = Field(
        default=ComponentRef(name="auto"),
        description="how steps are run: native, one call a step, on CPUs; graph, captured steps, on GPUs; eager, "
        "by torch; auto: what can be",
    )
    attention: ComponentRef = Field(
        default=ComponentRef(name="auto"), description="what a torch step attends with; auto: the execution's own"
    )
    deterministic: bool = Field(
        default=False, description="the same bits for a request, whatever else is in its steps; native and graph only"
    )
    parallel: ParallelSpec = ParallelSpec()
    engine: ComponentRef = ComponentRef(name="static")
    controller: ComponentRef = ComponentRef(name="text_generation")
    samplers: list[ComponentRef] = Field(default_factory=lambda: [ComponentRef(name=name) for name in DEFAULT_CHAIN])
    sampling: Annotated[dict[str, Any], Form("a mapping such as {temperature: 0.7, max_tokens: 64}")] = Field(
        default_factory=dict
    )
    sampling_defaults: Literal["plugtron", "checkpoint"] = Field(
        default="plugtron",
        description="what unset parameters are: plugtron's defaults, or what the checkpoint's generation_config says",
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    prompts: Annotated[Prompts, Form("a list of prompts, or {file: prompts.jsonl}")] = Field(default_factory=list)
    output: Annotated[OutputSpec | None, Form("a mapping: {file: results.jsonl}")] = None
    serve: Annotated[ServeSpec | None, Form("a mapping such as {port: 8000}")] = Field(
        default=None, description="of 'plugtron serve'"
    )
    plugins: PluginsSpec = PluginsSpec()

    @property
    def chat(self) -> ChatOptions:
        """How messages are written out where a prompt says nothing else."""
        return chat_options(self)

    @field_validator("samplers")
    @classmethod
    def _expand_default(cls, refs: list[ComponentRef]) -> list[ComponentRef]:
        chain: list[ComponentRef] = []
        for ref in refs:
            chain += [ComponentRef(name=name) for name in DEFAULT_CHAIN] if ref.name == "default" else [ref]
        return chain
