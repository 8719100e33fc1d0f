"""Speculative decoding: draft tokens, verified by the model in one step."""
