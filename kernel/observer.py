"""The join of `kernel.observation`, live: one bar at a time, from rows in the order they came."""

from bisect import bisect_left, bisect_right
from math import inf, isfinite

from kernel.observation import (
    DATED_SERIES,
    FUNDING_HOURS,
    HOUR_MS,
    LOOKBACK_MS,
    MAX_AGE_MS,
    MINUTE_FIELDS,
    MINUTE_MS,
    MINUTES_IN_BAR,
    NAN,
    SERIES,
    check_name,
    last_settlement_ms,
    settlement_ms,
)
from kernel.order_flow import known_too_early
from kernel.tapes import BookTape, TradeTape

_NONE = (NAN, NAN)
_NO_MINUTE = (NAN,) * (len(MINUTE_FIELDS) // MINUTES_IN_BAR)


class Observer:
    """Tell it every row that arrives, in any order and as often as you like.

    Trades and books are told to the two tapes. What is told after a bar was observed was not known
    at its close: `latest_close_ms` is the latest close observed so far, 0 before the first.
    """

    def __init__(self, bar_ms: int) -> None:
        self.trades = TradeTape(bar_ms)
        self.depth = BookTape(bar_ms)
        self.latest_close_ms = 0
        self._bar_ms = bar_ms
        self._rows: dict[str, list[tuple[int, int, float]]] = {name: [] for name in SERIES}
        self._minutes: dict[int, tuple[int, tuple[float, ...]]] = {}

    def learn(self, name: str, event_time_ms: int, known_at_ms: int, value: float) -> None:
        """Remember one row of a series; a row that is already known changes nothing.

        Raises ValueError for an unknown series and for a row known before its event.
        """
        check_name(name)
        if known_at_ms < event_time_ms:
            raise known_too_early(f"series {name}", event_time_ms, known_at_ms)
        rows = self._rows[name]
        row = (int(event_time_ms), int(known_at_ms), float(value) + 0.0 if isfinite(value) else inf)
        at = bisect_left(rows, row)
        if at == len(rows) or rows[at] != row:
            rows.insert(at, row)

    def learn_minute(
        self,
        open_time_ms: int,
        known_at_ms: int,
        open: float,  # noqa: A002  a candle's own word
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> None:
        """Remember a closed one-minute bar; of one that is told twice the first stands."""
        values = (open, high, low, close, volume)
        sound = tuple(float(x) + 0.0 if isfinite(x) else NAN for x in values)
        self._minutes.setdefault(int(open_time_ms), (int(known_at_ms), sound))

    def observe(
        self,
        open_time_ms: int,
        open: float,  # noqa: A002  a candle's own word
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> list[float]:
        """Return the observation of one closed bar: K floats, as `OBSERVATION_FIELDS`."""
        open_ms = int(open_time_ms)
        close_ms = open_ms + self._bar_ms
        self.latest_close_ms = max(self.latest_close_ms, close_ms)
        row = [float(x) for x in (open_time_ms, open, high, low, close, volume)]
        latest = {name: self._latest(name, close_ms) for name in SERIES}
        row += [value for value, _ in latest.values()]
        row += self.trades.in_bar(open_ms, row[5])
        row += self.depth.in_bar(open_ms)
        for minutes_ago in range(MINUTES_IN_BAR, 0, -1):
            row += self._minute(close_ms - minutes_ago * MINUTE_MS, open_ms, close_ms)
        row += [latest[name][1] for name in DATED_SERIES]
        row += self._settled(close_ms)
        return row

    def forget(self, before_ms: int) -> None:
        """Forget what only bars that open before a time could ask for."""
        self.trades.forget(before_ms)
        self.depth.forget(before_ms)
        for at in [at for at in self._minutes if at < before_ms]:
            del self._minutes[at]
        for name, rows in self._rows.items():
            oldest_ms = before_ms + self._bar_ms - LOOKBACK_MS[name]
            del rows[: bisect_left(rows, oldest_ms, key=lambda row: row[0])]

    def _latest(self, name: str, close_ms: int) -> tuple[float, float]:
        """Return value and event time of the best row known at a close, NaN where there is none."""
        rows = self._rows[name]
        for at in range(bisect_right(rows, (close_ms, close_ms, inf)) - 1, -1, -1):
            event_time_ms, known_at_ms, value = rows[at]
            if close_ms - event_time_ms > MAX_AGE_MS[name]:
                return _NONE
            if known_at_ms <= close_ms:
                return (value, float(event_time_ms)) if value < inf else _NONE
        return _NONE

    def _settled(self, close_ms: int) -> list[float]:
        """Return the rates settled in the 24 hours before a close, as `settled_by_hour`."""
        settled = [NAN] * FUNDING_HOURS
        latest_ms = last_settlement_ms(close_ms)
        rows = self._rows["funding_rate"]
        oldest_ms = close_ms - LOOKBACK_MS["funding_rate"]
        for at in range(bisect_left(rows, (oldest_ms, 0, -inf)), len(rows)):
            event_time_ms, known_at_ms, value = rows[at]
            hours = (latest_ms - settlement_ms(event_time_ms)) // HOUR_MS
            if known_at_ms <= close_ms and 0 <= hours < FUNDING_HOURS:
                settled[hours] = value if value < inf else NAN
        return settled

    def _minute(self, at_ms: int, open_ms: int, close_ms: int) -> tuple[float, ...]:
        known_at_ms, values = self._minutes.get(at_ms, (close_ms, _NO_MINUTE))
        return values if at_ms >= open_ms and known_at_ms <= close_ms else _NO_MINUTE
