"""A long reading says how far it is, every few seconds and not more often."""

import pandas as pd

from market_data.ingest.progress import Progress

HOUR_MS = 3_600_000
SPANS = [(0, 60 * HOUR_MS), (100 * HOUR_MS, 140 * HOUR_MS)]


def page(last_hour: int) -> pd.DataFrame:
    """Return ten rows, the last one at that hour."""
    return pd.DataFrame(
        {"event_time_ms": [hour * HOUR_MS for hour in range(last_hour - 9, last_hour + 1)]}
    )


def test_progress_tells_rows_a_second_and_the_time_left():
    """The share is that of the time spans read, over all of them."""
    told: list[str] = []
    clock = iter([0.0, 1.0, 6.0, 7.0, 12.0]).__next__
    progress = Progress("candles of BTCUSDT", SPANS, told.append, clock)
    progress.saw(SPANS[0], page(10))
    progress.saw(SPANS[0], page(30))
    progress.ended(SPANS[0])
    progress.saw(SPANS[1], page(110))
    progress.saw(SPANS[1], page(120))
    assert told == [
        "candles of BTCUSDT: 20 rows, 3 rows/s, 30%, about 14 s left",
        "candles of BTCUSDT: 40 rows, 3 rows/s, 80%, about 3 s left",
    ]
