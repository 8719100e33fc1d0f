"""Tokenizers that live in the core, and chat templates. No torch."""
