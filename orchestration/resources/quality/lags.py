"""When a row can be known at the earliest."""

from kernel.observation import SERIES_TABLE
from orchestration.resources.tables import TABLES
from research.settings import UniverseSettings


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
