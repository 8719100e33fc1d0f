"""Beam search: the most likely answers, looked for over several that are kept at every step."""
