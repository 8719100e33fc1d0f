"""Phi, from its third generation on."""
