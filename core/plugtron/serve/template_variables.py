"""Variables that chat templates read: those that clients have words of their own for."""

from __future__ import annotations

from plugtron.contracts.routes import Service

__all__ = ["knows_variable"]


def knows_variable(service: Service, variable: str, template: str | None = None) -> bool:
    """Whether a chat template, by default the checkpoint's own, reads a variable."""
    own = None if service.tokenizer is None else service.tokenizer.chat_template
    return variable in (template or own or "")
