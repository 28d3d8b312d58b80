"""Each check that follows from a table's description is red on a bad row of that very table."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import assets.market as market_assets
from market_data.tables import INGESTED, TABLES
from tests.assets.full_market import corrected
from tests.assets.market_stage import (
    BAR_MS,
    DAY_MS,
    DECEMBER_MS,
    FIRST_MS,
    HOUR_MS,
    NOW_MS,
    REFERENCE,
    VENUE,
    Stage,
    failed,
    put_values,
)


class Bad(NamedTuple):
    """Which row of a table a source sends wrongly, and what is wrong with it."""

    row: int
    values: dict[str, float]


OHLC = {"high": 1.0}  # below its low
BAD = {
    "candles": Bad(150, OHLC),
    "reference_candles": Bad(150, OHLC),
    "minute_candles": Bad(150, OHLC),
    "mark_candles": Bad(150, OHLC),
    "index_candles": Bad(150, OHLC),
    "funding": Bad(4, {"funding_rate": 0.9}),
    "open_interest": Bad(3, {"open_interest": 0.0}),
    "fear_greed": Bad(1, {"fear_greed": 101.0}),
    "onchain": Bad(1, {"mvrv": -1.0}),
    "trades": Bad(150, {"price": -1.0}),
    "depth": Bad(150, {"best_bid": 60_000.0}),
    "arrivals": Bad(15, {"lag_ms": -5}),
}
OTHERS = {"rows_were_not_known_before_they_arrived", "prices_agree_with_the_reference"}
EVERY = {
    spec.name for check in market_assets.raw_checks for spec in check.check_specs
} - OTHERS  # which have tests of their own


@pytest.mark.slow  # all twelve tables through their suites
@pytest.mark.red(*EVERY)
def test_every_check_of_a_bad_row_and_of_a_silence_is_red(stage: Stage):
    """Each table is sent a bad row, falls silent, and holds another bad row that came in past the
    ingest: quarantine, gaps and expectations of all twelve are red.
    """
    put_values(
        market=stage.market,
        table="open_interest",
        symbol="BTCUSDT",
        start_ms=FIRST_MS,
        step_ms=BAR_MS,
        values=[9e4] * 100,
    )
    long_ago_ms = DECEMBER_MS - 12 * DAY_MS
    put_values(
        market=stage.market,
        table="fear_greed",
        symbol="BTCUSDT",
        start_ms=long_ago_ms,
        step_ms=DAY_MS,
        values=[20.0, 30.0],
    )
    days = long_ago_ms + DAY_MS * np.arange(2)
    metrics = {name: np.array([1.0, 2.0]) for name in TABLES["onchain"].columns}
    stage.market.put(VENUE, "onchain", "BTCUSDT", event_time_ms=days, **metrics)
    for name in INGESTED:
        _send_bad_row(stage, name)
        _store_bad_row(stage, name)
    assert failed(stage.run()) - OTHERS == EVERY


def _send_bad_row(stage: Stage, name: str) -> None:
    row = BAD[name].row
    values = BAD[name].values
    if name == "reference_candles":
        held = stage.market.rows[REFERENCE, name, "BTCUSDT"].copy()
        held.loc[row, list(values)] = list(values.values())
        stage.market.rows[REFERENCE, name, "BTCUSDT"] = held
    else:
        corrected(stage, name, "BTCUSDT", row, **values)


def _store_bad_row(stage: Stage, name: str) -> None:
    """Put a bad row into the lake, past the ingest."""
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    times = {"event_time_ms": [hour_ms], "known_at_ms": [hour_ms + DAY_MS], "source": "by hand"}
    values = {
        column: "funding" if one.kind == "string" else 2
        for column, one in TABLES[name].columns.items()
    }
    frame = pd.DataFrame(times | values | BAD[name].values)
    stage.lake.append(name, "BTCUSDT", frame, NOW_MS)
