"""On-chain metrics from Coin Metrics' files: one `<asset>.csv` with a row a day.

Source: Coin Metrics' public archive of community data (`csv/btc.csv`: `time,AdrActCnt,…`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from market_data.frames import Frame
from market_data.sources.backoff import refused
from market_data.sources.columns import WrongColumnError, numbers, page, times_ms
from market_data.sources.onchain_metrics import METRICS, in_our_columns
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import parts
from market_data.sources.tabular import batches, reading
from market_data.universe import SourceSettings


@dataclass(frozen=True, slots=True)
class CoinMetricsCsv:
    """Read `<asset>.csv`, as downloaded or gzipped, in the folder `at` or in its `csv/`."""

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str

    @property
    def tables(self) -> frozenset[str]:
        """Return its one table."""
        return frozenset({"onchain"})

    def now_ms(self) -> int:
        """Return the wall clock: a file holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield rows by the start of their day; a metric that the file lacks is NaN.

        An asset without a file has no rows. Raises dagster Failure for a folder that is not there
        and a file that cannot be read.
        """
        folder = Path(self.at)
        if not folder.is_dir():
            raise refused(self.name, f"no folder {self.at}", "the folder of its CSV files")
        asset = parts(wanted.symbol)[0].lower()
        names = (f"{asset}.csv", f"{asset}.csv.gz")
        candidates = [place / name for place in (folder, folder / "csv") for name in names]
        path = next(filter(Path.is_file, candidates), None)
        if path is None:
            return
        with reading(path):
            for batch in batches(path, ("time", *METRICS)):
                found = batch.schema.names
                if "time" not in found:
                    raise WrongColumnError(f"found no column time among {found}, expected one")
                metrics = {name: numbers(batch[name]) for name in METRICS if name in found}
                values = in_our_columns(metrics, len(batch))
                yield page("onchain", times_ms(batch["time"]), values, wanted)
