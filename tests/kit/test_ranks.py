"""Functions on several ranks: what each returns, and one clear error, soon, where one of them fails."""

import os
import time

import pytest
import rank_functions

from plugtron.testing import RankFailed, Ranks, run_on_ranks

FAILURES = {
    "raise": "rank 1: Traceback .*ValueError: no such luck",
    "exit": "rank 1: Traceback .*SystemExit: 7",
    "die": "rank 1: it ended without an answer, with exit code 7",
    "send": "rank 1: its answer cannot be sent: Traceback",
}


def test_answers_come_in_order():
    assert run_on_ranks(3, rank_functions.number) == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("how", FAILURES)
def test_a_rank_that_fails(how):
    begin = time.monotonic()
    with pytest.raises(RankFailed, match=f"(?s){FAILURES[how]}"):
        run_on_ranks(2, rank_functions.fails, 1, how)
    assert time.monotonic() - begin < 60


def test_ranks_that_are_never_done():
    with pytest.raises(RankFailed, match="no answer in time from rank 0, 1"):
        run_on_ranks(2, rank_functions.fails, 1, "never", timeout=0.5)


def test_processes_are_kept_until_one_fails():
    with Ranks(2) as job:
        first = job.run(os.getpid)
        assert job.run(os.getpid) == first
        with pytest.raises(RankFailed, match="rank 1: Traceback"):
            job.run(rank_functions.fails, 1, "raise")
        assert set(job.run(os.getpid)).isdisjoint(first)


def test_what_ranks_cannot_read_is_said():
    with pytest.raises(RankFailed, match=r"(?s)rank 0: Traceback .*ValueError: no such luck"):
        run_on_ranks(1, len, rank_functions.Unreadable())
