"""How long random inputs are tried: the same ones for seconds in the suite, new ones for minutes in make fuzz."""

import os

#: For each target of tests/fuzz; set by `make fuzz` and `make test-all`.
SECONDS = float(os.environ.get("PLUGTRON_FUZZ_SECONDS", "2"))
#: Whether the inputs are new ones each time.
AT_RANDOM = SECONDS >= 10


def examples(few, many):
    """How many examples Hypothesis tries."""
    return many if AT_RANDOM else few
