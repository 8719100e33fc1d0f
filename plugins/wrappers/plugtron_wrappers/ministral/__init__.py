"""Ministral, from its third generation on."""
