"""What the live runner costs: `python -m benchmarks.runner`.

A venue process plays two symbols at twelve bars a second each; the runner runs as people run it,
from its command line, first on rules and then on a small bundle per symbol. Memory of a full bundle
is on top: its graph, twice while the previous one stays resident.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kernel.features.engine import compute
from tests.live_runner.bundles import Publisher, write_bundle
from tests.live_runner.stage import (
    BAR_MS,
    START_MS,
    SYMBOLS,
    RunnerProcess,
    VenueProcess,
    market_observations,
    recorded,
    runner,
    until,
    venue,
)

SPEED = 10_800.0  # twelve 15-minute bars a second
SECONDS = 20.0


def main() -> int:
    """Print the figures and return the exit code."""
    with tempfile.TemporaryDirectory() as home, venue(speed=SPEED) as market:
        began = time.perf_counter()
        with runner(Path(home), market.url, history_bars=3_000) as live:
            answered = time.perf_counter() - began
            until(lambda: live.decided(SYMBOLS[0]) > 0, "a first decision")
            first = time.perf_counter() - began
            print(f"start to HTTP            {answered:8.2f} s")
            print(f"start to first decision  {first:8.2f} s   (3,000 bars of history, 2 symbols)")
            _measure("rules", live, "")
            pauses = [_swap(live, symbol) for symbol in SYMBOLS]
            _measure("bundle", live, live.get(f"/model/info?symbol={SYMBOLS[0]}")["digest"])
            print(f"swap pause               {max(pauses):8d} µs  (the longer of two)")
            _restart(live, market)
            missed = sum(live.get(f"/journal/summary?symbol={s}")["missed"] for s in SYMBOLS)
            print(f"bars missed              {missed:8d}")
    return 0 if missed == 0 else 1


def _measure(name: str, live: RunnerProcess, digest: str) -> None:
    """Print pace, latency, CPU and memory over a stretch of the running feed."""
    before = sum(map(live.decided, SYMBOLS))
    cpu = _cpu_seconds(live)
    time.sleep(SECONDS)
    bars = sum(map(live.decided, SYMBOLS)) - before
    share = (_cpu_seconds(live) - cpu) / SECONDS
    told = recorded(live.journal, SYMBOLS[0])
    fresh = (told["digest"] == digest) & (told["catch_up"] == 0)
    pace = f"{bars / SECONDS:.1f} bars/s on {100 * share:.1f} % of a core"
    print(f"{name}: {pace}, {_rss_mib(live)} MiB")
    for column, what in (("latency_us", "bar to decision"), ("compute_us", "of it computing")):
        p50, p99 = np.percentile(told[column][fresh], [50, 99]) / 1_000
        print(f"  {what:22} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")


def _swap(live: RunnerProcess, symbol: str) -> int:
    """Swap a bundle in over HTTP and return the pause in µs."""
    cut_ms = START_MS - 10 * BAR_MS
    state = compute(market_observations(symbol, cut_ms - 1_400 * BAR_MS, cut_ms))[1]
    folder = write_bundle(
        live.home / "bundles", symbol, seed=1, state=state, state_open_ms=cut_ms - BAR_MS
    )
    Publisher.make(live.home / "keys", key_id=symbol).publish(folder, symbol, 1)
    order = {"symbol": symbol, "digest": folder.name, "epoch": 1}
    status, answer = live.admin("/admin/swap", order)
    if status != 200:
        raise RuntimeError(f"swap of {symbol}: found {status} {answer}, expected 200")
    return int(answer["pause_us"])


def _restart(live: RunnerProcess, market: VenueProcess) -> None:
    """Kill the runner, let a day pass, and print how soon the day is decided."""
    now_ms = market.clock(pause=True)
    live.kill()
    market.clock(step_bars=96)
    began = time.perf_counter()
    live.start()
    last_ms = now_ms // BAR_MS * BAR_MS + 95 * BAR_MS
    for symbol in SYMBOLS:
        path = f"/journal/summary?symbol={symbol}"
        until(lambda path=path: live.get(path)["last_open_time_ms"] >= last_ms, "the day's bars")
    print(f"SIGKILL, a day away, caught up {time.perf_counter() - began:.2f} s after the start")


def _cpu_seconds(live: RunnerProcess) -> float:
    assert live.process is not None
    fields = Path(f"/proc/{live.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def _rss_mib(live: RunnerProcess) -> int:
    assert live.process is not None
    pages = Path(f"/proc/{live.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4 // 1024


if __name__ == "__main__":
    sys.exit(main())
