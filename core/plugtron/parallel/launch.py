"""Starting the ranks of a job with torchrun's own launcher."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from plugtron.parallel.parent import LAUNCHER

__all__ = ["torchrun"]


def torchrun(ranks: int, arguments: Sequence[str]) -> int:
    """Run `plugtron ARGUMENTS` on so many ranks of this machine; return the exit code of the first rank that failed.

    The launcher's own report of a failure, a page that ends in a traceback, is left out: the rank has said what was
    wrong.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # As torchrun would say to every rank, but with the cores shared out rather than one for each.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // ranks)))
    os.environ[LAUNCHER] = str(os.getpid())
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "plugtron", *arguments)
    except ChildFailedError as error:
        for rank, failure in error.failures.items():
            if failure is error.get_first_failure()[1] and failure.exitcode < 0:
                print(f"rank {rank} was ended by {failure.signal_name()}", file=sys.stderr)  # noqa: T201 - the rank itself could not say so
        # A negative code is a signal: a rank that was ended because another had failed.
        return next((failure.exitcode for failure in error.failures.values() if failure.exitcode > 0), 1)
    except SignalException as signalled:
        return 128 + signalled.sigval
    return 0
