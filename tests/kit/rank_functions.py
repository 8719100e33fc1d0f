"""What ranks are made to do in test_ranks.py: importable by processes that start from nothing."""

import os
import time


def number():
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def fails(rank, how):
    """Fail on one rank, and never be done on the others."""
    if int(os.environ["RANK"]) != rank:
        time.sleep(600)
    if how == "raise":
        raise ValueError("no such luck")
    if how == "exit":
        raise SystemExit(7)
    if how == "die":
        os._exit(7)
    time.sleep(0 if how == "send" else 600)
    return lambda: None


def unlucky():
    raise ValueError("no such luck")


class Unreadable:
    """Can be pickled, and not read."""

    def __reduce__(self):
        return unlucky, ()
