"""On-chain metrics from Coin Metrics' API.

Source: Coin Metrics API v4, "Timeseries: asset metrics". A metric that the API does not have for an
asset is left out of the answer or, where the tier does not cover it, refuses the whole of it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np

from kernel.onchain_metrics import METRICS, in_our_columns
from market_data.frames import Frame
from market_data.sources.backoff import PATIENT, Backoff, refused
from market_data.sources.columns import page
from market_data.sources.instruments import UNLISTED, Instruments
from market_data.sources.protocol import Wanted
from market_data.sources.web import AnswerRefusedError, get_json
from market_data.universe import SourceSettings

PAGE_ROWS = 1_000
_REFUSALS = frozenset({400, 403})  # not supported for the asset; not covered by the tier


@dataclass(frozen=True, slots=True)
class CoinMetrics:
    """Ask the `/v4` of a Coin Metrics API at `at` for the daily metrics of a symbol's base."""

    name: str
    settings: SourceSettings
    at: str
    backoff: Backoff = PATIENT
    instruments: Instruments = UNLISTED

    PUBLIC_URL: ClassVar[str] = "https://community-api.coinmetrics.io/v4"
    PREFIX: ClassVar[str] = "/coinmetrics/v4"

    @property
    def tables(self) -> frozenset[str]:
        """Return its one table."""
        return frozenset({"onchain"})

    def now_ms(self) -> int:
        """Return the wall clock; the API has none of its own."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield rows by the start of their day; a metric that the source lacks is NaN.

        Raises TidegateError when the source stays away, or has none of the metrics for the asset.
        """
        asset = wanted.name or self.instruments.of(wanted.symbol).base.lower()
        answers = self._answers(asset, METRICS, wanted)
        try:
            first = next(answers)
        except AnswerRefusedError as error:
            if error.status not in _REFUSALS:
                raise
            yield self._one_by_one(asset, wanted, error)
            return
        yield self._frame(first, wanted)
        for rows in answers:
            yield self._frame(rows, wanted)

    def _one_by_one(self, asset: str, wanted: Wanted, refusal: AnswerRefusedError) -> Frame:
        """Return the rows with every metric that the source gives when it is asked for alone."""
        days: dict[str, dict[str, Any]] = {}
        given = 0
        for metric in METRICS:
            try:
                for rows in self._answers(asset, (metric,), wanted):
                    for row in rows:
                        days.setdefault(str(row.get("time")), {}).update(row)
                given += 1
            except AnswerRefusedError as error:
                if error.status not in _REFUSALS:
                    raise
        if not given:
            raise refused(
                f"{self.name}: on-chain data of {wanted.symbol}",
                f"none of the asset {asset} ({refusal})",
                "an asset that Coin Metrics has: name it under `instruments: {"
                f"{wanted.symbol}: {{names: {{{self.name}: …}}}}}}` in universe.yaml",
            ) from refusal
        return self._frame([days[day] for day in sorted(days)], wanted)

    def _answers(
        self, asset: str, metrics: Sequence[str], wanted: Wanted
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of each page."""
        url = f"{self.at}/timeseries/asset-metrics"
        query = {
            "assets": asset,
            "metrics": ",".join(metrics),
            "frequency": "1d",
            "start_time": _iso(wanted.start_ms),
            "end_time": _iso(wanted.end_ms - 1),
            "page_size": str(PAGE_ROWS),
            "paging_from": "start",
            "ignore_unsupported_errors": "true",
            "ignore_forbidden_errors": "true",
        }
        while True:
            answer = get_json(url, query, self.backoff)
            yield _rows(answer, url)
            token = answer.get("next_page_token")
            if not token:
                return
            if token == query.get("next_page_token"):
                raise refused(url, f"page {token!r} twice", "a further page")
            query["next_page_token"] = str(token)

    def _frame(self, rows: list[dict[str, Any]], wanted: Wanted) -> Frame:
        try:
            times = np.array([_ms(row["time"]) for row in rows], dtype=np.int64)
            metrics = {
                name: np.array([_number(row.get(name)) for row in rows], dtype=np.float64)
                for name in METRICS
            }
        except (KeyError, TypeError, ValueError) as error:
            found = f"a row that is none ({type(error).__name__}: {error})"
            raise refused(self.at, found, "rows with a time and numbers") from error
        return page("onchain", times, in_our_columns(metrics, len(rows)), wanted)


def _number(cell: Any) -> float:
    """Return a metric's value: NaN where there is none, infinite for a text that is no number."""
    value = np.nan if cell is None else float(cell)
    return np.inf if cell is not None and np.isnan(value) else value


def _rows(answer: Any, url: str) -> list[dict[str, Any]]:
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refused(url, repr(answer)[:200], "a record with a list of records called data")
    return rows


def _iso(moment_ms: int) -> str:
    return f"{datetime.fromtimestamp(moment_ms // 1_000, UTC):%Y-%m-%dT%H:%M:%S}"


def _ms(text: str) -> int:
    """Return milliseconds of `2025-12-01T00:00:00.000000000Z`; days are whole seconds."""
    return int(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()) * 1_000
