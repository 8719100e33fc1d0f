"""KV memory: who holds which blocks, and what attention needs to know of a step."""
