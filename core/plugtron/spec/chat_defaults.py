"""What a spec says of chats, with the file of a template read."""

from __future__ import annotations

from pathlib import Path

from plugtron.errors import RequestError, SpecError
from plugtron.request.chat_options import ChatOptions, is_template_text, template_text
from plugtron.spec.model import Spec

__all__ = ["chat_defaults"]


def chat_defaults(spec: Spec) -> ChatOptions:
    """Return what requests leave out; a template that is a file as its text.

    Raises:
        SpecError: the file cannot be read.
    """
    chat = spec.chat
    template = chat.chat_template
    if template is None or is_template_text(template) or not Path(template).is_file():
        return chat
    try:
        return chat.model_copy(update={"chat_template": template_text(template)})
    except RequestError as error:
        raise SpecError(str(error)) from None
