"""When a row can be known at the earliest."""

from kernel.observation import SERIES_TABLE
from market_data.tables import TABLES
from market_data.universe import UniverseSettings


def earliest_ms(universe: UniverseSettings, table: str) -> int:
    """Return how long after its event a row of the table counts as known: never before what it
    describes is over, and not before its publication lag.
    """
    lag_ms = universe.market[table].publication_lag_ms
    return max(TABLES[table].period(universe.bar_ms), lag_ms)


def earliest_by_series(universe: UniverseSettings) -> dict[str, int]:
    """Return the same for every slow series of the kernel whose table the universe has: for the
    lake, checks and the runner.
    """
    held = {name: table for name, table in SERIES_TABLE.items() if table in universe.market}
    return {name: earliest_ms(universe, table) for name, table in held.items()}


def lags_of_runner(universe: UniverseSettings) -> dict[str, int | None]:
    """Return the same for the runner's settings: None for what the universe does not have."""
    known = earliest_by_series(universe)
    lags = {name: known.get(name) for name in SERIES_TABLE}
    held = "minute_candles" in universe.market
    return {**lags, "minutes": earliest_ms(universe, "minute_candles") if held else None}
