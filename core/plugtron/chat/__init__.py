"""A conversation with a model in a terminal, or line by line for scripts."""
