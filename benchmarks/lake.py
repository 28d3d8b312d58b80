"""4.5 million minutes from the lake: read as of a moment, resampled, joined with funding; then the
trades of a day into it.

Each way runs in a process of its own, in turns, after its imports and one warm-up, on the same
files. All give the same 15-minute bars, complete ones only, each with the latest funding rate known
at its close; rows known later than the moment and older revisions are left out by every one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

MINUTES = 4_500_000
ROUNDS = 5
PASSES = 3
MINUTE_MS = 60_000
BAR_MS = 15 * MINUTE_MS
START_MS = 1_514_764_800_000  # 2018-01-01T00:00Z
END_MS = START_MS + MINUTES * MINUTE_MS
ROOT = Path(__file__).resolve().parents[1]
SYMBOL = "BTCUSDT"
DAY_MS = 86_400_000
PIECE = 40_000  # rows of a page of an archive
DAYS_OF_TICKS = (400_000, 800_000, 1_600_000)
CHILD = "from benchmarks import lake; lake.measure({way!r}, {root!r})"


def ours(root: str) -> Any:
    import numpy as np

    from kernel.observation import BAR_FIELDS, MAX_AGE_MS, as_of
    from market_data.storage.lake import Lake

    lake = Lake(root=root)
    bars = lake.resampled(SYMBOL, END_MS, "15m")
    rows = lake.series(SYMBOL, END_MS)["funding_rate"]
    funding, _ = as_of(rows, bars.open_time_ms + BAR_MS, MAX_AGE_MS["funding_rate"])
    return np.column_stack([*(getattr(bars, name) for name in BAR_FIELDS), funding])


def in_polars(root: str) -> Any:
    import polars as pl

    event = pl.col("event_time_ms")
    minutes = (
        pl.scan_parquet(f"{root}/market/minute_candles/symbol={SYMBOL}/*.parquet")
        .filter(pl.col("known_at_ms") <= END_MS)
        .filter((event != event.shift(-1)).fill_null(value=True))  # files are in order
        .select("event_time_ms", "open", "high", "low", "close", "volume")
    )
    bars = (
        minutes.group_by(event // BAR_MS * BAR_MS, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.len().alias("minutes"),
        )
        .filter(pl.col("minutes") == 15)
        .drop("minutes")
        .with_columns(close_ms=event + BAR_MS)
        .set_sorted("close_ms")
    )
    funding = (
        pl.scan_parquet(f"{root}/market/funding/symbol={SYMBOL}/*.parquet")
        .filter(pl.col("known_at_ms") <= END_MS)
        .sort("known_at_ms", "event_time_ms")
        .filter(event == event.cum_max())  # a late correction of an old event is not the latest
        .select("known_at_ms", "funding_rate")
    )
    joined = bars.join_asof(funding, left_on="close_ms", right_on="known_at_ms")
    return joined.drop("close_ms", "known_at_ms", strict=False).collect().to_numpy()


def in_duckdb(root: str) -> Any:
    import duckdb
    import numpy as np

    minutes = f"read_parquet('{root}/market/minute_candles/symbol={SYMBOL}/*.parquet')"
    funding = f"read_parquet('{root}/market/funding/symbol={SYMBOL}/*.parquet')"
    query = f"""
        WITH bars AS (
            SELECT event_time_ms // {BAR_MS} * {BAR_MS} AS time, arg_min(open, event_time_ms) AS o,
                max(high) AS h, min(low) AS l, arg_max(close, event_time_ms) AS c, sum(volume) AS v
            FROM (FROM {minutes} WHERE known_at_ms <= {END_MS}) AS row
            ANTI JOIN (FROM {minutes} WHERE known_at_ms <= {END_MS} AND revision > 0) AS later
                ON later.event_time_ms = row.event_time_ms AND later.revision > row.revision
            GROUP BY 1 HAVING count(*) = 15
        ), published AS (
            SELECT known_at_ms, funding_rate, event_time_ms = max(event_time_ms) OVER (
                ORDER BY known_at_ms, event_time_ms) AS newest
            FROM {funding} WHERE known_at_ms <= {END_MS}
        )
        SELECT time, o, h, l, c, v, funding_rate FROM bars
        ASOF LEFT JOIN (FROM published WHERE newest) f ON time + {BAR_MS} >= f.known_at_ms
        ORDER BY time
    """
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        return np.column_stack(list(connection.execute(query).fetchnumpy().values()))


def in_pandas(root: str) -> Any:
    import pandas as pd

    columns = ["event_time_ms", "known_at_ms", "open", "high", "low", "close", "volume"]
    table = f"{root}/market/minute_candles/symbol={SYMBOL}"
    minutes = pd.read_parquet(table, columns=columns, partitioning=None)
    minutes = minutes[minutes["known_at_ms"] <= END_MS]
    minutes = minutes.drop_duplicates("event_time_ms", keep="last")
    slots = minutes.groupby(minutes["event_time_ms"] // BAR_MS * BAR_MS, sort=False)
    bars = slots.agg(
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
        minutes=("open", "size"),
    ).reset_index()
    bars = bars[bars.pop("minutes") == 15]
    funding = pd.read_parquet(f"{root}/market/funding/symbol={SYMBOL}", partitioning=None)
    funding = funding[funding["known_at_ms"] <= END_MS]
    funding = funding.sort_values(["known_at_ms", "event_time_ms"])
    newest = funding[funding["event_time_ms"] == funding["event_time_ms"].cummax()]
    joined = pd.merge_asof(
        bars.assign(known_at_ms=bars["event_time_ms"] + BAR_MS),
        newest[["known_at_ms", "funding_rate"]],
        on="known_at_ms",
    )
    return joined.drop(columns="known_at_ms").to_numpy()


WAYS: dict[str, Callable[[str], Any]] = {
    "ours": ours,
    "polars": in_polars,
    "duckdb": in_duckdb,
    "pandas": in_pandas,
}


def fill(root: str) -> None:
    """Write a lake of minutes and funding, a few of both corrected."""
    import numpy as np
    import pandas as pd

    from market_data.storage.lake import Lake

    rng = np.random.default_rng(7)
    lake = Lake(root=root)
    times = START_MS + MINUTE_MS * np.arange(MINUTES, dtype=np.int64)
    close = np.round(30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0007, MINUTES))), 1)
    opened = np.concatenate(([30_000.0], close[:-1]))
    high = np.maximum(opened, close)
    low = np.minimum(opened, close)
    minutes = pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + MINUTE_MS,
            "source": "generated",
            "open": opened,
            "high": np.round(high + rng.exponential(5.0, MINUTES), 1),
            "low": np.round(low - rng.exponential(5.0, MINUTES), 1),
            "close": close,
            "volume": np.round(rng.gamma(2.0, 50.0, MINUTES), 3),
        }
    )
    settled = times[:: 8 * 60]
    funding = pd.DataFrame(
        {
            "event_time_ms": settled,
            "known_at_ms": settled + MINUTE_MS,
            "source": "generated",
            "funding_rate": rng.normal(1e-4, 2e-4, len(settled)),
        }
    )
    corrected = minutes.iloc[MINUTES // 2 : MINUTES // 2 + 30]
    for table, rows in (("minute_candles", minutes), ("funding", funding)):
        lake.append(table, SYMBOL, rows, END_MS)
    lake.append("minute_candles", SYMBOL, corrected.assign(volume=1.0), END_MS - BAR_MS)
    lake.append("funding", SYMBOL, funding[9:10].assign(funding_rate=0.01), END_MS - BAR_MS)


def measure(way: str, root: str) -> None:
    """Print seconds of each round, peak MiB, and a digest of what came out."""
    import hashlib
    import time

    import numpy as np

    seconds: list[float] = []
    for _ in range(ROUNDS + 1):  # the first one warms up
        start = time.perf_counter()
        rows = WAYS[way](root)
        seconds.append(time.perf_counter() - start)
    exact = np.ascontiguousarray(np.delete(rows, 5, axis=1), dtype=np.float64)  # sums may round
    result = {
        "seconds": median(seconds[1:]),
        "mib": _peak_mib(),
        "rows": len(rows),
        "digest": hashlib.sha256(exact.tobytes()).hexdigest(),
        "volume": float(rows[:, 5].sum()),
    }
    print(json.dumps(result))


def ticks(rows: int) -> None:
    """Print the CPU time of appending one day of trades in pieces, as an ingest takes them."""
    import time

    import numpy as np
    import pandas as pd

    from market_data.storage.lake import Lake

    times = START_MS + np.arange(rows, dtype=np.int64) * DAY_MS // rows
    trades = pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times,
            "source": "generated",
            "trade_id": np.arange(rows),
            "price": 30_000.0 + np.arange(rows) % 7,
            "quantity": 0.5,
            "side": np.where(np.arange(rows) % 3, 1.0, -1.0),
        }
    )
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root=root)
        lake.append("trades", "ETHUSDT", trades[:10], END_MS)  # imports are not part of it
        began_s = time.process_time()
        for start in range(0, rows, PIECE):
            lake.append("trades", SYMBOL, trades[start : start + PIECE], END_MS)
        spent_s = time.process_time() - began_s
    print(f"   {rows:9,} trades of a day: {spent_s:5.2f} CPU s, {rows / spent_s:,.0f} rows/s")


def _peak_mib() -> float:
    """Return the largest resident size of this process; rusage would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        fill(root)
        runs = [{way: _in_a_process(way, root) for way in WAYS} for _ in range(PASSES)]
    answers = {run[way]["digest"] for run in runs for way in WAYS}
    print(
        f"   {MINUTES:,} minutes → {runs[0]['ours']['rows']:,} bars of 15m with funding; median of "
        f"{PASSES} × {ROUNDS}; {'equal' if len(answers) == 1 else 'DIFFERENT'} answers"
    )
    for way in WAYS:
        seconds, mib = (median(run[way][figure] for run in runs) for figure in ("seconds", "mib"))
        slower, larger = (
            median(run[way][figure] / run["ours"][figure] for run in runs)
            for figure in ("seconds", "mib")
        )
        print(
            f"   {way:8} {seconds:6.3f} s {mib:6.0f} MiB peak   "
            f"of ours: × {slower:.2f} time, × {larger:.2f} memory"
        )
    for rows in DAYS_OF_TICKS:
        ticks(rows)


def _in_a_process(way: str, root: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD.format(way=way, root=root)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
