"""GPT: what Megatron Core trains as GPTModel, GPT-2, and plugtron's own description of a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils import loader

if TYPE_CHECKING:
    from plugtron_wrappers.gpt.wrapper import GPTWrapper

__all__ = ["GPTWrapper"]

if not TYPE_CHECKING:  # type checkers know the name from the import above
    __getattr__ = loader(__name__, {"GPTWrapper": "plugtron_wrappers.gpt.wrapper"})
