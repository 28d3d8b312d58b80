"""Each rule on candles, alone and together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.quality import find_violations

BAR_MS = 900_000


def candles(*rows: tuple[float, ...]) -> Bars:
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 6).T
    return Bars(columns[0].astype(np.int64), *(column.copy() for column in columns[1:]))


def good(at: int) -> tuple[float, ...]:
    return (at * BAR_MS, 100.0, 102.0, 99.0, 101.0, 5.0)


def changed(at: int, **values: float) -> tuple[float, ...]:
    names = ("open_time_ms", "open", "high", "low", "close", "volume")
    return tuple(values.get(name, value) for name, value in zip(names, good(at), strict=True))


def rules(bars: Bars) -> list[tuple[int, str]]:
    return [(found.row, found.rule) for found in find_violations(bars, BAR_MS)]


@given(gaps=st.lists(st.integers(1, 5), max_size=30))
def test_sound_candles_pass_with_or_without_gaps(gaps: list[int]) -> None:
    """Ascending, consistent candles break no rule, and a missing one is nobody's fault here."""
    bars = candles(*(good(at) for at in np.cumsum(gaps).tolist()))
    assert find_violations(bars, BAR_MS) == []


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"close": np.nan}, "non_finite"),
        ({"volume": np.inf}, "non_finite"),
        ({"low": -np.inf}, "non_finite"),
        ({"low": 0.0}, "not_positive"),
        ({"low": -1.0}, "not_positive"),
        ({"high": 100.5}, "ohlc_inconsistent"),
        ({"low": 100.5}, "ohlc_inconsistent"),
        ({"volume": -0.1}, "negative_volume"),
        ({"open_time_ms": BAR_MS + 1.0}, "off_grid"),
    ],
)
def test_one_broken_value_is_named(values: dict[str, float], rule: str) -> None:
    """The row, its time, the rule, the value found and the value expected are all told."""
    bars = candles(good(0), changed(1, **values), good(2))
    named = {found.rule: found for found in find_violations(bars, BAR_MS)}
    assert rule in named
    assert set(named) <= {rule, "not_positive"}
    assert named[rule].row == 1
    assert named[rule].open_time_ms == int(values.get("open_time_ms", BAR_MS))
    assert named[rule].found
    assert named[rule].expected


def test_a_price_that_is_wrong_is_spelled_out() -> None:
    """The finding carries the candle's own numbers."""
    (found,) = find_violations(candles(changed(0, high=100.5)), BAR_MS)
    assert found.found == "open 100.0, high 100.5, low 99.0, close 101.0"
    assert found.expected == "low <= open, close <= high"


def test_a_second_row_of_one_time_is_a_duplicate_whatever_it_says() -> None:
    """The first arrival stands; a copy and a contradiction are told apart."""
    bars = candles(good(0), good(1), good(1), changed(1, close=100.0))
    found = find_violations(bars, BAR_MS)
    assert [(one.row, one.rule) for one in found] == [(2, "duplicate"), (3, "duplicate")]
    assert found[0].found == "the same values as row 1"
    assert found[1].found == "other values than row 1"


def test_a_row_that_arrives_after_a_later_one_is_out_of_order() -> None:
    """Every row behind the latest so far is reported, and the ones in step are not."""
    assert rules(candles(good(0), good(5), good(3), good(4), good(6))) == [
        (2, "out_of_order"),
        (3, "out_of_order"),
    ]


def test_a_row_may_break_several_rules() -> None:
    """All broken rules of all rows are reported, in order of rows."""
    bars = candles(good(3), changed(1, high=-1.0, volume=-1.0), good(3))
    assert rules(bars) == [
        (1, "not_positive"),
        (1, "ohlc_inconsistent"),
        (1, "negative_volume"),
        (1, "out_of_order"),
        (2, "duplicate"),
    ]


def test_no_candles_break_no_rule() -> None:
    """An empty batch is sound."""
    assert find_violations(candles(), BAR_MS) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6).map(lambda at: float(at * BAR_MS)),
            *[st.floats(width=32)] * 5,
        ),
        max_size=8,
    )
)
def test_rows_that_pass_can_be_traded_on(rows: list[tuple[float, ...]]) -> None:
    """What is left after dropping the reported rows is finite, positive, consistent, ascending."""
    bars = candles(*rows)
    bad = {found.row for found in find_violations(bars, BAR_MS)}
    kept = [row for at, row in enumerate(rows) if at not in bad]
    opens = [row[0] for row in kept]
    assert opens == sorted(set(opens))
    for _, open_, high, low, close, volume in kept:
        assert 0.0 < low <= min(open_, close) <= max(open_, close) <= high < np.inf
        assert 0.0 <= volume < np.inf
