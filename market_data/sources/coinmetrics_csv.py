"""On-chain metrics from Coin Metrics' files: one `<asset>.csv` with a row a day.

Source: Coin Metrics' public archive of community data (`csv/btc.csv`: `time,AdrActCnt,…`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kernel.onchain_metrics import METRICS, in_our_columns
from market_data.frames import Frame
from market_data.sources.backoff import refused
from market_data.sources.columns import numbers, page
from market_data.sources.instruments import UNLISTED, Instruments
from market_data.sources.looking import there
from market_data.sources.protocol import Wanted
from market_data.sources.stamps import stamps
from market_data.sources.tabular import batches, reading
from market_data.universe import SourceSettings


@dataclass(frozen=True, slots=True)
class CoinMetricsCsv:
    """Read `<asset>.csv`, as downloaded or gzipped, in the folder `at` or in its `csv/`."""

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str
    instruments: Instruments = UNLISTED

    @property
    def tables(self) -> frozenset[str]:
        """Return its one table."""
        return frozenset({"onchain"})

    def now_ms(self) -> int:
        """Return the wall clock: a file holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield rows by the start of their day; a metric that the file lacks is NaN.

        An asset without a file has no rows, and `searched` says so. Raises TidegateError for a
        folder that is not there, a file that cannot be read, and two files of one asset.
        """
        path = self._path(wanted)
        if path is None:
            return
        with reading(path):
            for batch in batches(path, ("time", *METRICS), required=("time",)):
                found = batch.schema.names
                metrics = {name: numbers(batch[name]) for name in METRICS if name in found}
                values = in_our_columns(metrics, len(batch))
                yield page("onchain", stamps(batch["time"]), values, wanted)

    def searched(self, wanted: Wanted) -> str:
        """Return which file was looked for, and what lies there instead; "" if it is there."""
        if self._path(wanted):
            return ""
        asset = self._asset(wanted)
        looked_for = f"{asset}.csv or {asset}.csv.gz, on-chain data of {wanted.symbol},"
        return f"{self.name}: {there(Path(self.at), looked_for, ('.csv', '.csv.gz'))}"

    def _path(self, wanted: Wanted) -> Path | None:
        folder = Path(self.at)
        if not folder.is_dir():
            raise refused(self.name, f"no folder {self.at}", "the folder of its CSV files")
        asset = self._asset(wanted)
        names = (f"{asset}.csv", f"{asset}.csv.gz")
        paths = [place / name for place in (folder, folder / "csv") for name in names]
        found = [path for path in paths if path.is_file()]
        if len(found) > 1:
            both = " and ".join(map(str, found))
            raise refused(self.name, both, f"one file of {asset}: remove the older ones")
        return found[0] if found else None

    def _asset(self, wanted: Wanted) -> str:
        return wanted.name or self.instruments.of(wanted.symbol).base.lower()
