"""The built-in parsers of answers: a file for each way that families of models write tool calls and reasoning."""
