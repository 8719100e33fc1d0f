"""Names of models, and where their files are or come from."""
