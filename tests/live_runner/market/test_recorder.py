"""The recorder: what was heard, when, and only beside a clock that runs as ours does."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from kernel.observation import OBSERVATION_FIELDS
from kernel.observer import Observer
from live_runner.market.recorder import POLL_EVERY_S, Recorder, Watch
from live_runner.market.recordings import RecordingWriter
from live_runner.market.venue import Pauses, Row, Venue, VenueError
from live_runner.market.venue_clock import VenueClock
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import RunnerProcess, until, venue

NOW_MS = 1_765_670_400_000
DAY_MS = 86_400_000
BAR_MS = 900_000
TRADE_COUNT = OBSERVATION_FIELDS.index("trade_count")


class Hands:
    """A venue whose clock and our own are moved by hand."""

    def __init__(self) -> None:
        self.venue_ms = float(NOW_MS)
        self.ours_s = 0.0
        self.requests: list[str] = []
        self.answer_takes_s = 0.0
        self.down = False

    def pass_s(self, seconds: float, speed: float = 1.0) -> None:
        self.ours_s += seconds
        self.venue_ms += 1_000 * seconds * speed

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        if self.down:
            return httpx.Response(503)
        self.ours_s += self.answer_takes_s
        return httpx.Response(200, json={"serverTime": int(self.venue_ms)})

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.MockTransport(self.answer), base_url="http://venue.test"
        )


def clock_of(hands: Hands) -> VenueClock:
    reader = Venue(hands.client(), Pauses(0.0, 0.0, 1), random.Random(1), lambda _: None)
    return VenueClock(reader, lambda: hands.ours_s)


class SlowRows(Recorder):
    """A recorder whose slow rows a test holds in its hands."""

    held: Sequence[Row] = ()

    async def slow_rows(self, symbol: str, since_ms: int) -> list[Row]:
        return list(self.held)


def recorder_of(hands: Hands, folder: Path, errors: list[str]) -> SlowRows:
    settings = desk_settings(folder, "http://venue.test")
    recordings = RecordingWriter(folder / "recordings")
    observers = {symbol: Observer(settings.bar_ms) for symbol in settings.symbols}
    one = SlowRows(
        settings=settings,
        recordings=recordings,
        client=hands.client(),
        rng=random.Random(1),
        on_error=errors.append,
        observers=observers,
    )
    one.clock = clock_of(hands)
    return one


def lines(folder: Path, table: str) -> list[dict[str, Any]]:
    paths = sorted((folder / "recordings" / table).rglob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


async def _looks(hands: Hands, clock: VenueClock, speed: float) -> None:
    await clock.look()
    hands.pass_s(1.0, speed)
    await clock.look()


@pytest.mark.parametrize(("speed", "steady"), [(1.0, True), (0.0, False), (60.0, False)])
def test_a_clock_at_another_pace_is_not_steady(speed: float, steady: bool) -> None:
    """A venue that stands still or runs ahead cannot be timed; one at our pace can."""
    hands = Hands()
    clock = clock_of(hands)
    asyncio.run(_looks(hands, clock, speed))
    assert clock.steady.is_set() is steady
    assert clock.other_pace is not steady


def test_a_busy_machine_is_not_taken_for_a_replay() -> None:
    """A tenth of blur is no other pace, though too much for timing; a failed look says nothing."""
    hands = Hands()
    clock = clock_of(hands)
    asyncio.run(_looks(hands, clock, 1.1))
    assert not clock.steady.is_set()
    assert not clock.other_pace
    asyncio.run(_looks(hands, clock, 60.0))
    hands.down = True
    with pytest.raises(VenueError):
        asyncio.run(clock.look())
    assert clock.other_pace


def test_a_look_that_took_long_says_nothing_of_the_pace() -> None:
    """An answer that comes seconds after it was asked for may be stamped anywhere in between."""
    hands = Hands()
    clock = clock_of(hands)
    asyncio.run(_looks(hands, clock, 1.0))
    hands.pass_s(1.0)
    hands.answer_takes_s = 3.0
    asyncio.run(clock.look())
    assert not clock.other_pace


@pytest.mark.parametrize("speed", [1.0, 60.0, 0.0])
def test_a_silent_venue_is_told_the_time_of_at_its_own_pace(speed: float) -> None:
    """The last good look is carried on as fast as the market went, and a jump is no pace."""
    hands = Hands()
    clock = clock_of(hands)
    assert clock.reckoned_ms() is None
    asyncio.run(_looks(hands, clock, speed))
    hands.venue_ms += DAY_MS
    hands.pass_s(1.0, speed)
    asyncio.run(clock.look())
    known_ms = hands.venue_ms
    hands.down = True
    with pytest.raises(VenueError):
        asyncio.run(clock.look())
    hands.pass_s(10.0)
    assert clock.reckoned_ms() == pytest.approx(known_ms + 10_000 * speed, abs=1)


def test_the_clock_goes_on_between_two_looks_and_notices_a_jump() -> None:
    """The venue's time is ours plus an offset, until the venue's clock is pushed."""
    hands = Hands()
    clock = clock_of(hands)
    asyncio.run(_looks(hands, clock, 1.0))
    hands.pass_s(12.5)
    assert clock.now_ms() == NOW_MS + 13_500
    hands.venue_ms += DAY_MS
    asyncio.run(clock.look())
    assert not clock.steady.is_set()


def test_trades_and_closed_candles_are_written_with_the_moment_they_came(tmp_path: Path) -> None:
    """A trade keeps its own stamp and ours; a candle's lag counts from its close."""
    hands = Hands()
    errors = list[str]()
    recorder = recorder_of(hands, tmp_path, errors)
    asyncio.run(_looks(hands, recorder.clock, 1.0))
    now_ms = recorder.clock.now_ms()
    trade = {"e": "aggTrade", "s": "BTCUSDT", "a": 5, "p": "100.5", "q": "0.2", "m": True}
    recorder.hear(json.dumps({"data": {**trade, "T": now_ms - 30}}))
    kline = {"s": "BTCUSDT", "i": "1m", "t": now_ms - 60_250, "T": now_ms - 251, "x": True}
    recorder.hear(json.dumps({"data": {"e": "kline", "k": kline}}))
    recorder.hear(json.dumps({"data": {"e": "kline", "k": {**kline, "x": False}}}))
    recorder.hear(b'{"data": {"e": "aggTr')
    recorder._recordings.flush()
    (heard,) = lines(tmp_path, "trades")
    assert (heard["event_time_ms"], heard["known_at_ms"]) == (now_ms - 30, now_ms)
    assert (heard["trade_id"], heard["side"]) == (5, -1.0)
    (arrival,) = lines(tmp_path, "arrivals")
    assert (arrival["series"], arrival["lag_ms"]) == ("minute_candles", 250)
    assert len(errors) == 1


def test_what_is_recorded_is_told_and_what_comes_after_a_bar_is_known_after_it(
    tmp_path: Path,
) -> None:
    """A trade heard once its bar was observed is recorded as known after that bar's close."""
    hands = Hands()
    recorder = recorder_of(hands, tmp_path, [])
    asyncio.run(_looks(hands, recorder.clock, 1.0))
    now_ms = recorder.clock.now_ms()
    open_ms = now_ms // BAR_MS * BAR_MS
    observer = recorder._observers["BTCUSDT"]
    heard = {"e": "aggTrade", "s": "BTCUSDT", "p": "100", "q": "2", "T": now_ms}
    recorder.hear(json.dumps({"data": {**heard, "a": 1, "m": False}}))
    assert observer.observe(open_ms, 1.0, 1.0, 1.0, 1.0, 2.0)[TRADE_COUNT] == 1.0
    recorder.hear(json.dumps({"data": {**heard, "a": 2, "m": False}}))
    assert observer.observe(open_ms, 1.0, 1.0, 1.0, 1.0, 2.0)[TRADE_COUNT] == 1.0
    recorder._recordings.flush()
    assert [row["known_at_ms"] for row in lines(tmp_path, "trades")] == [
        now_ms,
        open_ms + BAR_MS + 1,
    ]


def test_a_slow_row_is_timed_only_when_it_was_not_there_a_moment_before(tmp_path: Path) -> None:
    """What the first look finds, and what an outage hid, says nothing of a lag."""
    hands = Hands()
    recorder = recorder_of(hands, tmp_path, [])
    asyncio.run(_looks(hands, recorder.clock, 1.0))
    watch = Watch("BTCUSDT", recorder)
    event_ms = NOW_MS - 40_000
    seen: list[Row] = [Row("funding_rate", event_ms - 8 * 3_600_000, 0.0001)]
    recorder.held = seen
    asyncio.run(watch.poll())
    hands.pass_s(POLL_EVERY_S)
    seen.append(Row("funding_rate", event_ms, 0.0002))
    asyncio.run(watch.poll())
    hands.pass_s(10 * POLL_EVERY_S)
    seen.append(Row("exchange_net_flow", NOW_MS - DAY_MS, 1.0))
    asyncio.run(watch.poll())
    recorder._recordings.flush()
    (arrival,) = lines(tmp_path, "arrivals")
    assert arrival["series"] == "funding"
    assert arrival["lag_ms"] == 40_000 + 1_000 + int(1_000 * POLL_EVERY_S)


def test_a_runner_beside_a_venue_in_real_time_records(tmp_path: Path) -> None:
    """Trades, depth and the lag of a minute candle are on disk soon after that minute's close."""
    with venue(1.0, "2025-12-21T03:00:45Z") as served:
        runner = RunnerProcess(tmp_path / "runner", served.url)
        runner.start()
        try:
            recordings = runner.home / "recordings"
            for table in ("trades", "depth", "arrivals"):
                until(lambda table=table: any(recordings.glob(f"{table}/*/*.jsonl")), table)
        finally:
            runner.stop()
    rows = [json.loads(line) for line in next(recordings.glob("depth/*/*.jsonl")).open()]
    assert rows
    assert all(row["best_bid"] < row["best_ask"] for row in rows)
