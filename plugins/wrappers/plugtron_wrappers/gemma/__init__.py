"""Gemma, from its second generation on."""
