"""Which parser reads a request's answers: one that is named, or the one that knows the marks of its chat template."""

from __future__ import annotations

from plugtron.contracts.parser import ParsedAnswer, Parser, parse_answer
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.engine.special_text import text_with_special
from plugtron.errors import PlugtronError, RequestError
from plugtron.plugin.component import Kind
from plugtron.plugin.registry import OWN_DISTRIBUTION, RegisteredComponent, Registry, UnknownName, own
from plugtron.request.chat_options import AUTO_PARSER, NO_PARSER, ChatOptions
from plugtron.request.request import InferenceRequest
from plugtron.tokenizer.chat import template_of

__all__ = ["asks_for_parser", "check_parser", "parse_sequence", "parser_for"]


def asks_for_parser(request: InferenceRequest) -> bool:
    """Whether a request's answers are to be taken apart: it says so, or has tools on offer."""
    chat = request.chat or ChatOptions()
    return bool(chat.tools) if chat.parser is None else chat.parser != NO_PARSER


def check_parser(chat: ChatOptions | None, registry: Registry) -> None:
    """See whether there is the parser that is asked for.

    Raises:
        RequestError: there is none of the name.
    """
    name = None if chat is None else chat.parser
    if name not in (None, AUTO_PARSER, NO_PARSER):
        _named(name, registry)


def parser_for(request: InferenceRequest, tokenizer: Tokenizer | None, registry: Registry) -> Parser | None:
    """Make the parser of one answer to a request that has been tokenized; None where there is none for its template.

    Raises:
        RequestError: there is no parser of the name, or no tokenizer.
    """
    if tokenizer is None:
        raise RequestError("answers cannot be parsed: this checkpoint has no tokenizer, and no text")
    offer = _chosen(request, tokenizer, registry)
    return None if offer is None else _made(offer, request, tokenizer)


def parse_sequence(
    request: InferenceRequest, number: int, tokenizer: Tokenizer | None, registry: Registry
) -> ParsedAnswer | None:
    """Take the answer of one sequence apart; None where there is no parser for the template.

    Raises:
        RequestError: as `parser_for`; or the parser raises, which it must not.
    """
    offer = None if tokenizer is None else _chosen(request, tokenizer, registry)
    if tokenizer is None or offer is None:
        return None
    text = text_with_special(request.sequences[number], tokenizer)
    try:
        return parse_answer(_made(offer, request, tokenizer), text)
    except PlugtronError:
        raise
    # A parser is anybody's code: what it runs into costs this request alone.
    except Exception as error:
        raise RequestError(f"{offer.title} fails: {type(error).__name__}: {error}") from error


def _made(offer: RegisteredComponent, request: InferenceRequest, tokenizer: Tokenizer) -> Parser:
    tools = () if request.chat is None else request.chat.tools or ()
    return offer.load()(tools, tokenizer.decode(request.prompt_tokens, skip_special=False))


def _chosen(request: InferenceRequest, tokenizer: Tokenizer, registry: Registry) -> RegisteredComponent | None:
    chat = request.chat or ChatOptions()
    name = AUTO_PARSER if chat.parser is None else chat.parser
    if name == NO_PARSER:
        return None
    if name != AUTO_PARSER:
        return _named(name, registry)
    is_chat = bool(request.prompt) and isinstance(request.prompt[0], dict)
    # A text that stands for itself may well be one that the caller has made with the checkpoint's template.
    template = template_of(tokenizer, chat) if is_chat else tokenizer.chat_template
    return None if template is None else _recognized(template, registry)


def _named(name: str, registry: Registry) -> RegisteredComponent:
    try:
        return registry.find(Kind.PARSER, name)
    except UnknownName as unknown:
        raise RequestError(f"parser: {unknown} ({AUTO_PARSER} and {NO_PARSER} are accepted, too)") from None


def _recognized(template: str, registry: Registry) -> RegisteredComponent | None:
    """The parser that knows a template; plugtron's own come first, whatever is installed beside them."""
    offers = registry.offers(Kind.PARSER)
    for group in (own(offers), [offer for offer in offers if offer.distribution != OWN_DISTRIBUTION]):
        known = [offer for offer in group if offer.load().recognizes(template)]
        if len(known) > 1:
            names = ", ".join(offer.qualified for offer in known)
            raise RequestError(f"parser: {names} all know this model's chat template: name one of them")
        if known:
            return known[0]
    return None
