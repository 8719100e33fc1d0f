"""`python -m plugtron.assembly.follower`: a rank that a leader has started. It does what the leader's events say."""

from __future__ import annotations

import os
import signal
import sys

from plugtron.errors import PlugtronError
from plugtron.parallel.world import follow

__all__ = ["main"]


def main() -> int:
    """Build the same parts as the leader and step with it until it closes."""
    # An interrupt at the terminal reaches every process; only the leader decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from plugtron.assembly.start import follow_leader

    world, spec = follow()
    try:
        ended_well = follow_leader(world, spec)
    except PlugtronError as error:
        return error.exit_code  # the leader raises the same error
    if ended_well:
        world.close()
    return 0 if ended_well else 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # as the command line does on a rank: taking the interpreter down may abort it
