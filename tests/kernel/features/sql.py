"""Features in SQL: DuckDB as an oracle for windows and calendars."""

from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kernel.observation import DATED_SERIES, OBSERVATION_FIELDS

Values = NDArray[np.float64]


_TIMES = {
    OBSERVATION_FIELDS.index(name): OBSERVATION_FIELDS.index(f"{name}_time_ms")
    for name in DATED_SERIES
}


def columns(obs: Values, query: str, **tables: pd.DataFrame) -> dict[str, Values]:
    """Return the columns of a query on `bars`, which holds the observations, NaN being NULL.

    `bars.ts` is the time at which a bar opens, `bars.closed` the time at which it closes.
    """
    with duckdb.connect() as connection:
        frame = pd.DataFrame(obs, columns=list(OBSERVATION_FIELDS))
        frame["open_time_ms"] = frame["open_time_ms"].astype(np.int64)
        connection.register("observations", pa.Table.from_pandas(frame))
        connection.execute(
            "CREATE VIEW bars AS SELECT *, make_timestamp(open_time_ms * 1000) AS ts, "
            "ts + INTERVAL 15 MINUTE AS closed FROM observations"
        )
        for name, table in tables.items():
            connection.register(name, table)
        found = connection.execute(query).fetchnumpy()
    return {
        name: np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
        for name, values in found.items()
    }


def late(obs: Values, fields: Sequence[int], bars: int, longest_hole: int = 250) -> Values:
    """Return `obs` with some fields known `bars` later and at times missing, and without some
    bars.
    """
    rng = np.random.default_rng(bars)
    world = obs.copy()
    for field in fields:
        world[bars:, field] = obs[:-bars, field]
        world[:bars, field] = np.nan
        if (time := _TIMES.get(field)) is not None:
            world[bars:, time] = obs[:-bars, time]
        for start in rng.integers(0, len(world), 5):
            world[start : start + rng.integers(1, 300), field] = np.nan
    keep = rng.random(len(world)) > 0.02
    for start in rng.integers(0, len(world), 3):
        keep[start : start + rng.integers(1, longest_hole)] = False
    return world[keep]
