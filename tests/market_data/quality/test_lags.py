"""When a row counts as known: one answer for the lake, its checks and the runner."""

from pathlib import Path

import pytest

from market_data.quality.lags import earliest_by_series, lags_of_runner
from market_data.universe import UniverseSettings, load_universe
from tests.research.worlds import CONFIGS

HOUR_MS = 3_600_000


@pytest.fixture
def recorded(tmp_path: Path) -> UniverseSettings:
    """Return the universe of recorded files, which has neither mark, index nor minutes."""
    example = CONFIGS / "examples" / "recorded.universe.yaml"
    (tmp_path / "universe.yaml").write_bytes(example.read_bytes())
    return load_universe(tmp_path)


def test_a_row_is_known_when_what_it_describes_is_over_and_published():
    """A bar at its close, a minute a minute later, a day on the chain 26 hours after it began."""
    lags = lags_of_runner(load_universe(CONFIGS))
    assert (lags["mark_close"], lags["btc_close"], lags["minutes"]) == (900_000, 900_000, 60_000)
    assert (lags["funding_rate"], lags["hash_rate"]) == (60_000, 26 * HOUR_MS)


def test_a_universe_without_a_table_asks_nobody_for_it(recorded: UniverseSettings):
    """The runner is told so, and the checks have no time to hold its rows against."""
    lags = lags_of_runner(recorded)
    absent = {name for name, lag in lags.items() if lag is None}
    assert absent == {"mark_close", "index_close", "minutes"}
    assert set(earliest_by_series(recorded)) == set(lags) - absent
