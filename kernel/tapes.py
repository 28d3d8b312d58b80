"""The sums of `kernel.order_flow`, live: each tick is folded as it comes in."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.features.bounds import NAN
from kernel.order_flow import (
    BOOK_SUMS,
    BOOK_TALLY,
    TRADE_SUMS,
    TRADES_TALLY,
    close_book,
    close_trades,
    fold_book,
    fold_trade,
    known_too_early,
)


class Tape:
    """The rows of a few bars, told one by one in any order, and the tally of each bar.

    Bars open at whole multiples of `bar_ms`. A row that is told twice counts as it was first told.
    """

    def __init__(self, bar_ms: int, tally: int, fold: Callable[..., None]) -> None:
        self._bar_ms = bar_ms
        self._size = tally
        self._fold = fold
        self._pages: dict[int, _Page] = {}

    def forget(self, before_ms: int) -> None:
        """Forget the bars that open before a time."""
        self._pages = {at: page for at, page in self._pages.items() if at >= before_ms}

    def _put(self, event_time_ms: int, known_at_ms: int, row_id: int, *values: float) -> None:
        if known_at_ms < event_time_ms:
            raise known_too_early("tick", event_time_ms, known_at_ms)
        open_ms = event_time_ms - event_time_ms % self._bar_ms
        if known_at_ms > open_ms + self._bar_ms:
            return
        page = self._pages.setdefault(open_ms, _Page([], [0.0] * self._size))
        key = (event_time_ms, row_id)
        at = bisect_left(page.rows, key) if page.rows and page.rows[-1] >= key else len(page.rows)
        if at == len(page.rows):
            page.rows.append((*key, *values))
            if not page.stale:
                self._fold(page.tally, *values)
        elif page.rows[at][:2] != key:
            page.rows.insert(at, (*key, *values))
            page.stale = True

    def _tally(self, open_time_ms: int) -> list[float]:
        page = self._pages.get(open_time_ms)
        if page is None:
            return [0.0] * self._size
        if page.stale:
            page.tally = [0.0] * self._size
            for _, _, *values in page.rows:
                self._fold(page.tally, *values)
            page.stale = False
        return page.tally


@dataclass(slots=True)
class _Page:
    """The rows of one bar: (event time, id, values…) in order, and their tally unless stale."""

    rows: list[tuple[Any, ...]]
    tally: list[float]
    stale: bool = False


class TradeTape(Tape):
    """`trades_in_bars`, live: each print is folded as it comes in."""

    def __init__(self, bar_ms: int) -> None:
        super().__init__(bar_ms, TRADES_TALLY, fold_trade)

    def add(
        self, event_time_ms: int, known_at_ms: int, trade_id: int, quantity: float, side: float
    ) -> None:
        """Take one print; raises ValueError for one known before its event or of another side."""
        if abs(side) != 1.0:
            raise ValueError(f"trade: found side {side}, expected +1.0 or -1.0")
        self._put(event_time_ms, known_at_ms, trade_id, float(quantity), float(side))

    def in_bar(self, open_time_ms: int, volume: float) -> list[float]:
        """Return the five sums of one closed bar of this volume."""
        sums = [NAN] * TRADE_SUMS
        close_trades(self._tally(open_time_ms), volume, sums)
        return sums


class BookTape(Tape):
    """`depth_in_bars`, live."""

    def __init__(self, bar_ms: int) -> None:
        super().__init__(bar_ms, BOOK_TALLY, fold_book)

    def add(
        self, event_time_ms: int, known_at_ms: int, update_id: int, book: Sequence[float]
    ) -> None:
        """Take one snapshot, its six columns as in `Depth`.

        Raises ValueError for one known before its event and for another number of columns.
        """
        if len(book) != BOOK_SUMS - 1:
            raise ValueError(f"book: found {len(book)} columns, expected {BOOK_SUMS - 1}")
        since_open_ms = float(event_time_ms % self._bar_ms)
        self._put(event_time_ms, known_at_ms, update_id, since_open_ms, *map(float, book))

    def in_bar(self, open_time_ms: int) -> list[float]:
        """Return the seven values of one closed bar."""
        values = [NAN] * BOOK_SUMS
        close_book(self._tally(open_time_ms), float(self._bar_ms), values)
        return values
