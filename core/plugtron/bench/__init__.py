"""The request simulator: loads as they come in practice, run through an engine and measured."""
