"""Real processes and the market that they play, for tests and benchmarks of the runner."""

import functools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from kernel.decision import rules_probabilities
from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from kernel.observation import (
    FUNDING_FIELDS,
    OBSERVATION_FIELDS,
    OTHER_MARKET,
    SERIES,
    Market,
    Series,
    observe,
)
from replay_venue.market.climate import Climate
from replay_venue.market.generator import KEPT_BLOCKS, EndlessHistory
from replay_venue.market.recent import Recent
from research.backtest.replay import replay
from tests.hung import HUNG_S
from tests.live_runner.bundles import TRADING

ROOT = Path(__file__).resolve().parents[2]
BAR_MS = 900_000
SEED, EDGE = 7, 0.12
START_MS = 1_766_286_000_000  # 2025-12-21T03:00:00Z
SYMBOLS = ("BTCUSDT", "ETHUSDT")
# Faults on purpose and a shared machine: only the tests of health itself set limits that bite.
UNHURRIED = {"api_errors_a_minute": 1_000_000, "latency_ms": 1_000_000, "slow_bars": 1_000_000}
# A bar in fifteen seconds: no machine is too slow for it, and no runner takes it for the time of
# day, beside which trades and books are recorded.
UNHURRIED_SPEED = 60.0
BURST_BARS = 10  # of which a fault may take the last ones: they come with the next burst
COINS = {"BTCUSDT": "btc", "ETHUSDT": "eth"}
LAGS_MS = {
    "funding_rate": 60_000,
    "open_interest": 60_000,
    "fear_greed": 3_600_000,
    **dict.fromkeys(SERIES[3:9], 93_600_000),
    **dict.fromkeys(("mark_close", "index_close", "btc_close"), BAR_MS),
    "minutes": 60_000,
}
ONCHAIN = {
    "mvrv": "CapMVRVCur",
    "active_addresses": "AdrActCnt",
    "transactions": "TxCnt",
    "hash_rate": "HashRate",
    "fees": "FeeTotNtv",
}


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(
    url: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, Any]:
    """Return status and parsed answer (text where it is not JSON) of one HTTP request."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=HUNG_S) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def until(done: Callable[[], Any], what: str, seconds: float = HUNG_S) -> Any:
    """Return the first true value of `done()`; fail loudly when it stays false."""
    deadline = time.monotonic() + seconds
    while not (value := done()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
    return value


@dataclass
class VenueProcess:
    """A replay venue in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    def clock(self, **change: Any) -> int:
        """Change the clock and return market time."""
        return int(call(f"{self.url}/control/clock", change)[1]["now_ms"])

    def fault(self, **fault: Any) -> None:
        """Arm a fault."""
        status, answer = call(f"{self.url}/control/faults", fault)
        assert status == 200, answer


@contextmanager
def venue(speed: float, start: str = "2025-12-21T03:00:00Z") -> Iterator[VenueProcess]:
    """Run a venue of the generated market."""
    port = free_port()
    options = {
        "--port": port,
        "--symbols": ",".join(SYMBOLS),
        "--seed": SEED,
        "--edge": EDGE,
        "--history-start": "2025-04-01",
        "--start": start,
        "--speed": speed,
    }
    words = [str(word) for pair in options.items() for word in pair]
    process = subprocess.Popen([sys.executable, "-m", "replay_venue", *words], cwd=ROOT, env=_env())
    one = VenueProcess(process, f"http://127.0.0.1:{port}")
    try:
        until(lambda: _answers(f"{one.url}/fapi/v1/time"), "the venue to answer")
        yield one
    finally:
        process.kill()
        process.wait()


@dataclass
class RunnerProcess:
    """A live runner in a process of its own; `home` holds its journal, bundles and keys."""

    home: Path
    venue_url: str
    history_bars: int = 1_100
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    @property
    def journal(self) -> Path:
        return self.home / "journal.sqlite"

    @property
    def token(self) -> dict[str, str]:
        """Return the header that opens the admin verbs."""
        return {"Authorization": f"Bearer {(self.home / 'admin.token').read_text()}"}

    def start(self) -> None:
        """Start the process and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.home.mkdir(parents=True, exist_ok=True)
        token = self.home / "admin.token"
        token.write_text("a-token-of-a-test-0123456789")
        token.chmod(0o600)
        config = self.home / "runner.yaml"
        config.write_text(yaml.safe_dump(self.settings(port)))
        command = [sys.executable, "-m", "live_runner", "--config", str(config)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=_env())
        until(lambda: self._alive() and _answers(f"{self.url}/ready"), "the runner to answer")

    def settings(self, port: int) -> dict[str, Any]:
        """Return the body of the runner's settings file."""
        return {
            "host": "127.0.0.1",
            "port": port,
            "symbols": list(SYMBOLS),
            "timeframe": "15m",
            "venue_rest": self.venue_url,
            "venue_ws": self.venue_url.replace("http", "ws"),
            "bundles_dir": str(self.home / "bundles"),
            "journal": str(self.journal),
            "public_keys_dir": str(self.home / "keys"),
            "admin_token_file": str(self.home / "admin.token"),
            "coins": COINS,
            "lags_ms": LAGS_MS,
            "trading": TRADING.to_dict(),
            "history_bars": self.history_bars,
            "health": UNHURRIED,
            "recordings": str(self.home / "recordings"),
        }

    def kill(self) -> None:
        """End the process without any warning."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask the process to end and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=HUNG_S)

    def get(self, path: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        status, answer = call(f"{self.url}{path}")
        assert status == 200, answer
        return answer

    def admin(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Call an admin verb with the token."""
        return call(f"{self.url}{path}", body or {}, self.token)

    def decided(self, symbol: str) -> int:
        """Return how many bars of a symbol are decided."""
        return int(self.get(f"/journal/summary?symbol={symbol}")["decided"])

    def until_decided(self, bars: int, seconds: float = HUNG_S) -> None:
        """Wait until every symbol has that many decided bars."""
        until(
            lambda: all(self.decided(symbol) >= bars for symbol in SYMBOLS),
            f"{bars} decided bars",
            seconds,
        )

    def until_trading(self) -> None:
        """Wait until every symbol has read its history."""

        def all_started() -> bool:
            told = call(f"{self.url}/health")[1]["symbols"].values()
            return all(one["status"] != "starting" for one in told)

        until(all_started, "every symbol to have read its history")

    def follow(self, market: VenueProcess, bars: int) -> None:
        """Let market time go on, a few bars at a time, until every symbol has decided that many.

        However slow the machine, the market never gets further ahead than those few.
        """

        def least() -> int:
            return min(self.decided(symbol) for symbol in SYMBOLS)

        while (before := least()) < bars:
            market.clock(step_bars=BURST_BARS)
            until(lambda before=before: least() > before, "the next bar to be decided")

    def next_bar(self, market: VenueProcess) -> None:
        """Let market time go on by a bar, and wait until every symbol has decided it."""
        before = {symbol: self.decided(symbol) for symbol in SYMBOLS}
        market.clock(step_bars=1)
        until(
            lambda: all(self.decided(symbol) > before[symbol] for symbol in SYMBOLS),
            "the next bar to be decided",
        )

    def bars_until(
        self, market: VenueProcess, done: Callable[[], bool], what: str, most: int = 40
    ) -> None:
        """Go on bar by bar until `done()`; fail when it is not after `most` bars."""
        for _ in range(most):
            self.next_bar(market)
            if done():
                return
        raise AssertionError(f"expected {what} within {most} bars")

    def _alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the runner ended at its start"
        return True


@contextmanager
def runner(home: Path, venue_url: str, history_bars: int = 1_100) -> Iterator[RunnerProcess]:
    """Run a runner until the block ends."""
    one = RunnerProcess(home, venue_url, history_bars)
    one.start()
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@dataclass(frozen=True)
class Truth:
    """What the kernel makes of the generated market in one uninterrupted batch."""

    open_time_ms: np.ndarray
    observations: np.ndarray
    features: np.ndarray
    states: tuple[np.ndarray, np.ndarray]
    rule_rows: np.ndarray


def truth(symbol: str, start_ms: int, split_ms: int, end_ms: int) -> Truth:
    """Fold the market that opens in [start, end) from nothing; states at split and end."""
    observations = market_observations(symbol, start_ms, end_ms)
    cut = int(np.searchsorted(observations[:, 0], split_ms))
    before, state = compute(observations[:cut])
    after, last = compute(observations[cut:], state)
    features = np.concatenate([before, after])
    opens = observations[:, 0].astype(np.int64)
    rows = rule_rows(observations, features)
    return Truth(opens, observations, features, (state, last), rows)


def market_observations(symbol: str, start_ms: int, end_ms: int) -> np.ndarray:
    """Return the observations, float64[n, K], of the market's bars as a lake would give them."""
    read_ms = start_ms - 10 * 86_400_000
    history = _histories()[symbol]
    other = _histories()[OTHER_MARKET]
    market = history.market(read_ms, end_ms, "15m")
    chain = market.onchain
    points = {
        "funding_rate": (market.funding.time_ms, market.funding.value),
        "open_interest": (market.open_interest.time_ms, market.open_interest.value),
        "fear_greed": (market.fear_greed.time_ms, market.fear_greed.value),
        "exchange_net_flow": (
            chain.time_ms,
            chain.value["FlowInExUSD"] - chain.value["FlowOutExUSD"],
        ),
        **{name: (chain.time_ms, chain.value[theirs]) for name, theirs in ONCHAIN.items()},
    }
    for name, bars in (
        ("mark_close", history.mark_bars(read_ms, end_ms, "15m")),
        ("index_close", history.index_bars(read_ms, end_ms, "15m")),
        ("btc_close", other.bars(read_ms, end_ms, "15m")),
    ):
        points[name] = (bars.open_time_ms, bars.close)
    series = {
        name: Series(name, at, at + LAGS_MS[name], value) for name, (at, value) in points.items()
    }
    bars = history.bars(start_ms, end_ms, "15m")
    return observe(Market(bars, series, history.bars(start_ms, end_ms, "1m")), BAR_MS)


@functools.cache
def _histories() -> dict[str, EndlessHistory]:
    """Return the market's symbols, made once: whatever is asked for, they are the same."""
    climate = Climate(SEED)
    recent = Recent(KEPT_BLOCKS)
    return {name: EndlessHistory(climate, name, EDGE, recent=recent) for name in SYMBOLS}


def rule_rows(observations: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the trading rows, float64[n, I], that the rules make of warm features."""
    pick = {name: features[:, FEATURES.index(name)] for name in ("ema_stack", "rsi_14", "adx_14")}
    chances = [rules_probabilities(*map(float, row)) for row in zip(*pick.values(), strict=True)]
    return trading_rows(observations, features, np.array(chances))


def trading_rows(
    observations: np.ndarray, features: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Return the kernel's trading rows of decided bars that did not abstain."""
    atr = features[:, FEATURES.index("atr_14")] * observations[:, 4]
    opens = observations[:, 0]
    first = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
    settled = observations[:, first : first + len(FUNDING_FIELDS)]
    free = np.zeros(len(observations))
    prices = observations[:, 1:5]
    return np.column_stack([opens, opens + BAR_MS, prices, atr, probabilities, free, settled])


def recorded(journal: Path, symbol: str) -> dict[str, np.ndarray]:
    """Return a symbol's decisions from a journal: one array per column, vectors stacked."""
    with sqlite3.connect(journal) as db:
        rows = db.execute(
            "SELECT open_time_ms, features, probabilities, row, out, bundle_digest,"
            " settings_digest, epoch, catch_up, latency_us, compute_us FROM decisions"
            " WHERE symbol = ? ORDER BY open_time_ms",
            (symbol,),
        ).fetchall()
    columns = list(zip(*rows, strict=True))
    vectors = [np.array([np.frombuffer(blob) for blob in column]) for column in columns[1:5]]
    names = ("digest", "settings_digest", "epoch", "catch_up", "latency_us", "compute_us")
    return {
        "open_time_ms": np.array(columns[0]),
        **dict(zip(("features", "probabilities", "row", "out"), vectors, strict=True)),
        **{name: np.array(column) for name, column in zip(names, columns[5:], strict=True)},
    }


def assert_replays(journal: Path) -> None:
    """The research replay derives every feature, row, trade and fill of a journal anew."""
    report = replay(journal)
    assert report.differing_bytes == 0, report
    assert all(one.feature_rows == one.decisions for one in report.symbols)
    print(f"replayed {report.decisions} decisions and {report.trades} trades: 0 differing bytes")


def differing_bytes(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many bytes differ between two arrays of one shape."""
    assert a.shape == b.shape, (a.shape, b.shape)
    left, right = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return int(np.count_nonzero(left.view(np.uint8) != right.view(np.uint8)))


def _env() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def _answers(url: str) -> bool:
    try:
        return call(url)[0] == 200
    except (urllib.error.URLError, OSError):
        return False
