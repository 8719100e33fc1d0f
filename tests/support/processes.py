"""Looking at the processes of a job from outside, as the kernel shows them."""

import time
from pathlib import Path


def has_ended(pid):
    """Whether a process is gone, or a zombie that nobody has asked after."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def await_end(pids, seconds=600):
    """Wait until all have ended."""
    until = time.monotonic() + seconds
    while not all(map(has_ended, pids)):
        assert time.monotonic() < until, f"{pids} go on"
        time.sleep(0.05)


def children(pid):
    """The processes that a process has started and that live."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def ranks_of(pids):
    """Which process is which rank: {rank: pid}, of those that have one in their environment."""
    found = {}
    for pid in pids:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        number = [value for value in variables if value.startswith(b"RANK=")]
        if number:
            found[int(number[0].partition(b"=")[2])] = pid
    return found
