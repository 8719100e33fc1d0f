"""The parameters of a request that ask for an answer of some form."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from plugtron import Params
from plugtron_samplers.grammar.source import FORMS, source_of, sources_in

__all__ = ["GrammarParams"]

_Text = Annotated[str, Field(min_length=1)]


class GrammarParams(Params):
    """What the answer must look like, in one of these forms."""

    response_format: dict[str, Any] | None = Field(
        default=None,
        description="{type: json_object}, or {type: json_schema, json_schema: {schema: ...}}; {type: text}: anything",
        json_schema_extra={"source": "OpenAI's API"},
    )
    json_schema: dict[str, Any] | str | None = Field(
        default=None,
        description="the answer is JSON that this JSON Schema describes; a mapping, or its text",
        json_schema_extra={"source": "vLLM (structured_outputs.json)"},
    )
    regex: _Text | None = Field(
        default=None,
        description="the whole answer matches this regular expression, in Rust's syntax",
        json_schema_extra={"source": "vLLM (structured_outputs.regex)"},
    )
    choice: list[_Text] | None = Field(
        default=None,
        min_length=1,
        description="the answer is one of these texts",
        json_schema_extra={"source": "vLLM (structured_outputs.choice)"},
    )
    grammar: _Text | None = Field(
        default=None,
        description="the answer is a `start` of this grammar, in Lark's syntax as llguidance has it",
        json_schema_extra={"source": "vLLM (structured_outputs.grammar)"},
    )
    gbnf: _Text | None = Field(
        default=None,
        description="the answer is a `root` of this grammar, in GBNF",
        json_schema_extra={"source": "llama.cpp (grammar)"},
    )

    @field_validator(*FORMS)
    @classmethod
    def _can_be_compiled(cls, value: Any, info: ValidationInfo) -> Any:
        source = None if value is None or info.field_name is None else source_of(info.field_name, value)
        if source is not None:
            # Here, so that nobody imports it who does not ask for a grammar.
            from plugtron_samplers.grammar.library import check_source

            check_source(source)
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        names = [source.parameter for source in sources_in(self.model_dump(exclude_none=True))]
        if len(names) > 1:
            raise ValueError(f"{names[1]}: stands beside {names[0]}; an answer has one form (accepted: one of them)")
        return self
