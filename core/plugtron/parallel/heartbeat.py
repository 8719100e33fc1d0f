"""Signs of life between the ranks of a job: a rank that is stopped keeps its connections, and its peers waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage] - documented as public

__all__ = ["DEFAULT_LIMIT_S", "Heartbeat"]

#: Seconds without a sign after which a rank is given up.
DEFAULT_LIMIT_S = 300.0


class Heartbeat:
    """Gives a sign of life every few seconds, and looks for those of the others, in a thread of its own.

    Args:
        store: what the ranks share.
        limit: seconds after which a silent rank is given up.
        on_silence: is told, once and in that thread, which rank it is and for how long.
    """

    def __init__(
        self,
        store: TCPStore | PrefixStore,
        rank: int,
        size: int,
        limit: float,
        on_silence: Callable[[int, float], None],
    ) -> None:
        self._store = store.clone()  # pyright: ignore[reportAttributeAccessIssue]
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._limit = limit
        self._interval = min(10.0, limit / 10)
        self._on_silence = on_silence
        self._over = threading.Event()
        self._give_sign(0)
        self._thread = threading.Thread(target=self._run, name="plugtron-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give no more signs, and look for none."""
        self._over.set()
        self._thread.join(timeout=self._interval)

    def _run(self) -> None:
        last: dict[int, tuple[bytes, float]] = {}
        count, before = 0, time.monotonic()
        while not self._over.wait(self._interval):
            count, now = count + 1, time.monotonic()
            if now - before > self._limit / 2:
                last.clear()  # this process was stopped itself, perhaps with all the others
            before = now
            try:
                self._give_sign(count)
                signs = {other: self._sign_of(other) for other in self._others}
            except RuntimeError:
                return  # the store has ended with the process that held it, which its peers notice by themselves
            for other, sign in signs.items():
                seen = last.get(other)
                if seen is None or seen[0] != sign:
                    last[other] = sign, now
                elif now - seen[1] > self._limit:
                    self._on_silence(other, now - seen[1])
                    return

    def _give_sign(self, count: int) -> None:
        self._store.set(f"plugtron/alive/{self._rank}", str(count))

    def _sign_of(self, rank: int) -> bytes:
        key = f"plugtron/alive/{rank}"
        return self._store.get(key) if self._store.check([key]) else b""
