"""What a stamp means: the beginning, the last millisecond, or the end of what its row describes."""

from typing import Literal

from market_data.sources.stamps import Stamps, WrongColumnError
from market_data.tables import Table

Meaning = Literal["", "open", "close", "end"]


def moved(stamps: Stamps, meaning: Meaning, table: Table, bar_ms: int) -> Stamps:
    """Return the event times of stamps of a period: its `open`, its `close` or its `end`.

    `close` is the period's last millisecond. The event of a row that describes a period (a bar, a
    day) is its beginning; that of a row that was measured (open interest, an index) is the moment
    of measuring, the period's end. An empty meaning takes a stamp for the event itself. Raises
    `WrongColumnError` for a table whose rows have no period of a known length.
    """
    if not meaning:
        return stamps
    step_ms = table.step(bar_ms)
    if table.shape == "tick" or table.name == "funding":
        raise WrongColumnError(
            f"found stamp: {meaning} for {table.name}, expected none: its rows have no period of a "
            "fixed length, and their stamps are moments"
        )
    since_open_ms = {"open": 0, "close": step_ms - 1, "end": step_ms}[meaning]
    measured_at_end = not table.period(bar_ms)
    return stamps.moved((step_ms if measured_at_end else 0) - since_open_ms)
