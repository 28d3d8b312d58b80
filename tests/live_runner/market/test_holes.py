"""After a bar that the venue does not have, entries wait until it is let out of the features."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kernel.decision import Abstain
from kernel.features.calendar import BARS_SEEN
from kernel.features.engine import Stream
from kernel.features.registry import STATE_SIZE
from kernel.trading import ABSTAIN, Trader
from live_runner.entries import Entries
from live_runner.health import Health, HealthLimits
from live_runner.journal.journal import Journal
from live_runner.models.model import RULES_WARM_UP, Model
from tests.live_runner.bundles import TRADING
from tests.live_runner.stage import (
    BAR_MS,
    SYMBOLS,
    UNHURRIED,
    UNHURRIED_SPEED,
    RunnerProcess,
    assert_replays,
    call,
    recorded,
    runner,
    until,
    venue,
)

DAY_BARS = 96


def test_a_day_passes_after_a_hole_before_anything_is_opened(tmp_path: Path) -> None:
    """The bar is on no socket and in no answer; a restart in the middle of the day knows of it."""
    with venue(speed=UNHURRIED_SPEED) as market, runner(tmp_path, market.url) as live:
        live.until_trading()
        live.follow(market, 3)
        market.fault(kind="skip_rows", rate=1.0, rows=1, match="klines")
        market.fault(kind="skip", count=len(SYMBOLS), match="kline_15m")
        market.clock(step_bars=1)
        live.bars_until(
            market,
            lambda: _latest_holes(live).keys() == set(SYMBOLS),
            "a hole of every symbol",
        )
        call(f"{market.url}/control/faults", method="DELETE")
        live.follow(market, 30)
        live.kill()
        live.start()
        holes = _latest_holes(live)
        settled_ms = max(holes.values()) + DAY_BARS * BAR_MS
        market.clock(step_bars=DAY_BARS)
        until(
            lambda: all(_last_ms(live, symbol) >= settled_ms for symbol in SYMBOLS),
            "the day after the holes",
        )
        assert live.stop() == 0
    for symbol in SYMBOLS:
        found = recorded(live.journal, symbol)
        since = (found["open_time_ms"] - holes[symbol]) // BAR_MS
        abstains = found["row"][:, ABSTAIN]
        assert (abstains[(since > 0) & (since < DAY_BARS)] == Abstain.NOT_WARM).all()
        assert abstains[since == DAY_BARS].tolist() == [Abstain.NONE]
        assert set(since) >= set(range(1, DAY_BARS + 1))
    with sqlite3.connect(live.journal) as db:
        reasons = {row[0] for row in db.execute("SELECT reason FROM decisions")}
    assert {f"{bars} of 96 bars since a hole" for bars in range(1, DAY_BARS)} <= reasons
    assert_replays(live.journal)


@pytest.mark.parametrize(
    ("silent_bars", "lost", "barred"),
    [
        (0, (), ()),
        (0, ((10, 1),), range(11, 106)),
        (0, ((10, 96),), range(106, 201)),
        (0, ((10, 97),), range(107, 203)),
        (0, ((10, 150),), range(160, 309)),
        (0, ((10, RULES_WARM_UP + 50),), range(260, 459)),
        (0, ((10, 150), (165, 1)), (*range(160, 165), *range(166, 309))),  # the longer lasts longer
        (
            0,
            ((10, 150), (400, 1)),
            (*range(160, 309), *range(401, 496)),
        ),  # and is forgotten in time
        (2, ((10, 2), (50, 3), (200, 1)), range(53, 148)),  # silence is no hole
    ],
)
def test_a_hole_is_let_out_for_as_long_as_it_was(
    tmp_path: Path, silent_bars: int, lost: Sequence[tuple[int, int]], barred: Sequence[int]
) -> None:
    """A day at least, a whole warm-up at most, which by then has forgotten all of it."""
    journal = Journal(tmp_path / "journal.sqlite")
    holes = {bar for first, count in lost for bar in range(first, first + count)}
    for bar in holes:
        journal.record_hole(SYMBOLS[0], bar * BAR_MS, "venue has no bar", 0)
    entries = Entries(
        symbol=SYMBOLS[0],
        bar_ms=BAR_MS,
        silent_bars=silent_bars,
        health=Health(HealthLimits(**UNHURRIED), lambda: False),
        killed=lambda: False,
    )
    model = Model(
        bundle=None,
        settings=TRADING,
        settings_digest="",
        stream=_warm(),
        trader=Trader(TRADING),
    )
    told = {
        bar: entries.permission(
            model=model,
            open_time_ms=bar * BAR_MS,
            features=(),
            doubt=Abstain.NONE,
            stale={},
            journal=journal,
        ).abstain
        for bar in range(1, 600)
        if bar not in holes
    }
    assert set(told.values()) <= {Abstain.NONE, Abstain.NOT_WARM}
    assert [bar for bar, abstain in told.items() if abstain is Abstain.NOT_WARM] == list(barred)


def _warm() -> Stream:
    """Return a stream that has seen as many bars as the rules need."""
    state = np.zeros(STATE_SIZE)
    state[BARS_SEEN] = RULES_WARM_UP
    return Stream(state)


def _latest_holes(live: RunnerProcess) -> dict[str, int]:
    with sqlite3.connect(live.journal) as db:
        return dict(db.execute("SELECT symbol, max(open_time_ms) FROM holes GROUP BY symbol"))


def _last_ms(live: RunnerProcess, symbol: str) -> int:
    return int(live.get(f"/journal/summary?symbol={symbol}")["last_open_time_ms"])
