"""The picture of a raw table holds the table's own values and its rows per day."""

import numpy as np
import pandas as pd

from market_data.quality.glance import Glance
from market_data.tables import DAY_MS, TABLES
from market_data.window import Window
from orchestration.presentation.pictures import equities_figure, history_figure, history_png
from research.gates.accounts import Curves

DAY = 20_000
TIMES = DAY * DAY_MS + 3_600_000 * np.arange(4)
CLOSE = [10.0, 12.0, 11.0, 13.0]


def glance_of(**columns: list[float]) -> Glance:
    """Return what a window of four rows holds; a day without any follows the first."""
    sample = pd.DataFrame({"event_time_ms": TIMES, **columns})
    window = Window("BTCUSDT", int(TIMES[0]), int(TIMES[-1]) + 1)
    per_day = {DAY: 3, DAY + 2: 1}
    return Glance(
        window=window,
        rows=4,
        first_ms=int(TIMES[0]),
        last_ms=int(TIMES[-1]),
        digest="",
        per_day=per_day,
        sample=sample,
    )


def candles() -> Glance:
    low = [value - 1.0 for value in CLOSE]
    high = [value + 2.0 for value in CLOSE]
    return glance_of(open=CLOSE, high=high, low=low, close=CLOSE, volume=[1.0] * 4)


def test_both_equities_start_at_one_and_bear_their_names():
    """Candidate and champion are comparable at a glance, whatever their accounts began with."""
    at_ms = tuple((TIMES[0] + DAY_MS * np.arange(3)).tolist())
    equity = {"candidate": (100.0, 110.0, 120.0), "champion": (50.0, 50.0, 45.0)}
    (axes,) = equities_figure(Curves(at_ms=at_ms, equity=equity)).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {"candidate": [1.0, 1.1, 1.2], "champion": [1.0, 1.0, 0.9]}


def test_candles_are_their_closes_between_low_and_high():
    """The line is the close at its time, the band what the bar reached."""
    values, _ = history_figure([candles()], TABLES["candles"]).axes
    (line,) = values.lines
    (band,) = values.collections
    reached = band.get_paths()[0].vertices[:, 1]
    assert line.get_ydata().tolist() == CLOSE
    assert line.get_xdata(orig=True).astype(np.int64).tolist() == TIMES.tolist()
    assert (reached.min(), reached.max()) == (9.0, 15.0)


def test_rows_are_counted_by_day_and_a_day_without_any_is_none():
    """Below the values stand the rows of each day, 0 included."""
    _, rows = history_figure([candles()], TABLES["candles"]).axes
    heights = rows.collections[0].get_paths()[0].vertices[:, 1]
    assert sorted(set(heights)) == [0.0, 1.0, 3.0]
    assert rows.get_ylim()[0] == 0.0


def test_each_column_of_a_series_has_its_axis_and_an_empty_one_none():
    """Of on-chain metrics those with values are drawn, each in its unit."""
    names = TABLES["onchain"].columns
    values = dict.fromkeys(names, [np.nan] * 4) | {"mvrv": [1.0, 2.0, 1.5, 1.7]}
    mvrv, _ = history_figure([glance_of(**values)], TABLES["onchain"]).axes
    assert mvrv.lines[0].get_ydata().tolist() == values["mvrv"]
    assert mvrv.get_ylabel() == "BTCUSDT\nmvrv\nratio"


def test_bytes_of_equal_data_are_equal_and_of_other_data_others():
    """A digest of the picture is a digest of the numbers."""
    one = candles()
    two = glance_of(**dict.fromkeys(TABLES["candles"].columns, CLOSE))
    assert history_png([one], TABLES["candles"]) == history_png([one], TABLES["candles"])
    assert history_png([one], TABLES["candles"]) != history_png([two], TABLES["candles"])
