"""Speculation: guesses of what comes next, computed with the last token, and kept as far as they are what is drawn."""
