"""Starting the ranks of a job with torchrun's own launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["torchrun"]


def torchrun(ranks: int, arguments: Sequence[str]) -> int:
    """Run `plugtron ARGUMENTS` on so many ranks of this machine; return the exit code.

    Ranks that fail with an error that plugtron explains have said so themselves; torchrun's own report of it, which
    is a page long, is left out.
    """
    threads = str(max(1, (os.cpu_count() or 1) // ranks))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    process = subprocess.Popen([*command, "-m", "plugtron", *arguments], env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has sent the interrupt to torchrun and the ranks as well; let them write what they have.
            continue
