"""Llama and its relatives: what they have in common, and a file for what is peculiar to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils import loader

if TYPE_CHECKING:
    from plugtron_wrappers.llama.wrapper import LlamaWrapper

__all__ = ["LlamaWrapper"]

if not TYPE_CHECKING:  # type checkers know the name from the import above
    __getattr__ = loader(__name__, {"LlamaWrapper": "plugtron_wrappers.llama.wrapper"})
