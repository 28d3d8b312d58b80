"""After a hole the same bars are let out in history and live."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernel.holes import bars_let_out, let_out, run_ends

BAR_MS = 900_000


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(0, 120), st.integers(0, 3))
def test_history_lets_out_what_the_runner_does(
    kept: list[bool], warmup_bars: int, silent_bars: int
) -> None:
    """Each bar counts how long ago every hole before it ended, one by one, as the runner does."""
    opens = np.flatnonzero(kept) * BAR_MS
    found = let_out(opens, BAR_MS, warmup_bars, silent_bars)
    expected = []
    for at in range(len(opens)):
        waits = [
            (opens[at] - opens[i]) // BAR_MS + 1
            < bars_let_out(
                (opens[i] - opens[i - 1]) // BAR_MS - 1, warmup_bars, BAR_MS, silent_bars
            )
            for i in range(1, at + 1)
            if opens[i] - opens[i - 1] > BAR_MS
        ]
        expected.append(any(waits))
    assert found.tolist() == expected


def test_a_bar_is_let_out_for_a_day_or_as_long_as_the_hole_was() -> None:
    """A lost bar costs a day, a lost week a week, and never more than the warm-up."""
    assert bars_let_out(1, 5_000, BAR_MS, 0) == 96
    assert bars_let_out(672, 5_000, BAR_MS, 0) == 672
    assert bars_let_out(672, 50, BAR_MS, 0) == 50


def test_silent_bars_are_no_hole() -> None:
    """Where nothing trades the exchange publishes no candle; one more than that is a hole."""
    assert bars_let_out(2, 5_000, BAR_MS, 2) == 0
    assert bars_let_out(3, 5_000, BAR_MS, 2) == 96


def test_a_run_ends_where_the_next_bar_is_missing() -> None:
    """Two holes make three runs; the last ends with the history."""
    opens = np.array([0, 1, 2, 5, 6, 9]) * BAR_MS
    assert run_ends(opens, BAR_MS).tolist() == [3, 3, 3, 5, 5, 6]
    assert run_ends(opens[:0], BAR_MS).tolist() == []
