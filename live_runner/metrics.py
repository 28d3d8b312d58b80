"""Prometheus metrics of one runner process, in a registry of its own."""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from kernel.decision import Abstain
from kernel.risk import Guard
from kernel.trading import ABSTAIN, BLOCKED, EQUITY, POSITION_SIDE
from live_runner.journal.journal import Decision

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class RunnerMetrics:
    """Count what the runner does; one instance per process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._decided = self._counter("bars_decided", "Bars decided", "symbol", "by")
        self._abstained = self._counter("abstentions", "Bars barred from entry", "symbol", "reason")
        self._blocked = self._counter(
            "blocked_entries", "Entries stopped by a guard", "symbol", "guard"
        )
        self._repaired = self._counter("bars_repaired", "Bars brought by REST", "symbol")
        self._duplicates = self._counter("bars_duplicate", "Bars seen again and dropped", "symbol")
        self._holes = self._counter("venue_holes", "Bars the venue does not have", "symbol")
        self._errors = self._counter("feed_errors", "Failed requests and connections")
        self._swaps = self._counter("swaps", "Models replaced", "symbol", "outcome")
        self._refusals = self._counter("bundle_refusals", "Bundles refused", "symbol", "reason")
        self._epoch = self._gauge("model_epoch", "Epoch in force, 0 for the rules", "symbol")
        self._position = self._gauge("position_side", "-1 short, 0 flat, 1 long", "symbol")
        self._equity = self._gauge("equity", "Paper equity at the last close", "symbol")
        self._age = self._gauge(
            "last_bar_age_seconds", "Since the last bar closed, by the market's clock", "symbol"
        )
        self._latency = self._histogram("bar_to_journal_seconds", "Bar received to bar committed")
        self._compute = self._histogram("bar_compute_seconds", "Work on one bar, commit included")
        self._pause = self._histogram("swap_pause_seconds", "Time during which no bar could decide")

    def decided(self, one: Decision, received_ns: int, began_ns: int) -> None:
        """Count one committed bar; the times are of `time.perf_counter_ns`."""
        now_ns = time.perf_counter_ns()
        symbol = one.symbol
        self._decided.labels(symbol, "bundle" if one.digest else "rules").inc()
        if one.row[ABSTAIN] != 0.0:
            reason = Abstain(int(one.row[ABSTAIN])).name.lower()
            self._abstained.labels(symbol, reason).inc()
        if one.out[BLOCKED] != 0.0:
            guard = Guard(int(one.out[BLOCKED])).name.lower()
            self._blocked.labels(symbol, guard).inc()
        if one.catch_up:
            self._repaired.labels(symbol).inc()
        self._epoch.labels(symbol).set(one.epoch)
        self._position.labels(symbol).set(one.out[POSITION_SIDE])
        self._equity.labels(symbol).set(one.out[EQUITY])
        self._latency.observe((now_ns - received_ns) / 1e9)
        self._compute.observe((now_ns - began_ns) / 1e9)

    def resumed(self, symbol: str, epoch: int, out: Sequence[float]) -> None:
        """Tell where a symbol stood before this process; `out` is what its last bar came to."""
        self._epoch.labels(symbol).set(epoch)
        self._position.labels(symbol).set(out[POSITION_SIDE])
        self._equity.labels(symbol).set(out[EQUITY])

    def aged(self, symbol: str, age_ms: int) -> None:
        """Tell how long ago a symbol's last bar closed, by the market's clock."""
        self._age.labels(symbol).set(age_ms / 1_000)

    def duplicate(self, symbol: str) -> None:
        """Count a bar that came again."""
        self._duplicates.labels(symbol).inc()

    def hole(self, symbol: str) -> None:
        """Count a bar that the venue does not have."""
        self._holes.labels(symbol).inc()

    def feed_error(self) -> None:
        """Count a failed request or connection."""
        self._errors.inc()

    def swapped(self, symbol: str, outcome: str, epoch: int, pause_us: int) -> None:
        """Count a replaced model."""
        self._swaps.labels(symbol, outcome).inc()
        self._epoch.labels(symbol).set(epoch)
        self._pause.observe(pause_us / 1e6)

    def refused(self, symbol: str, reason: str) -> None:
        """Count a refused bundle."""
        self._refusals.labels(symbol, reason).inc()

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tidegate_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tidegate_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"tidegate_{name}", text, registry=self._registry, buckets=_SECONDS)
