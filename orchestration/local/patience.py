"""How long to wait for processes: counted in their own work, not in seconds.

On a busy machine everything takes many times as long, and nothing is wrong. What a process has
worked says how far it can have come; only one that does not work at all waits for nothing.
"""

import time
from collections.abc import Callable

LOOK_EVERY_S = 2.0
IDLE_S = 120.0  # no scheduler keeps a runnable process from the CPU for that long


class Patience:
    """Say when waiting is in vain: `cpu_s` gives the CPU seconds that what is waited for has used.

    It is once it used `limit_s` of them since now, or none at all for `IDLE_S` real seconds.
    """

    def __init__(
        self,
        cpu_s: Callable[[], float],
        limit_s: float,
        real_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpu_s = cpu_s
        self._limit_s = limit_s
        self._real_s = real_s
        self._began_cpu_s = cpu_s()
        self._worked_cpu_s = self._began_cpu_s
        self._worked_at_s = real_s()
        self._looked_at_s = self._worked_at_s

    def spent(self) -> str:
        """Return why there is nothing to wait for any more, '' while there may be."""
        now_s = self._real_s()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return ""
        self._looked_at_s = now_s
        cpu_s = self._cpu_s()
        # A child that ends takes its CPU time along until its parent collects it: never count back.
        if cpu_s > self._worked_cpu_s:
            self._worked_cpu_s = cpu_s
            self._worked_at_s = now_s
        used_s = self._worked_cpu_s - self._began_cpu_s
        if used_s >= self._limit_s:
            return f"found it not there after {used_s:.0f} s of CPU time"
        if (idle_s := now_s - self._worked_at_s) >= IDLE_S:
            return f"found it not there, and nothing at work for {idle_s:.0f} s"
        return ""
