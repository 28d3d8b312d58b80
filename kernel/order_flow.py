"""What the trades and the book of a bar say at its close: a few sums, from rows of ticks.

A row belongs to the bar in which its event lies, and counts only if it was known at that bar's
close. History folds all rows in one compiled pass, live (`kernel.tapes`) each row is folded as it
comes in; both call the same functions in the same order and give the same bytes.
"""

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.compiled import compiled
from kernel.features.bounds import NAN, blank, finite

TRADE_SUMS = 5
BOOK_SUMS = 7
TRADES_TALLY = 6  # the five sums and the last sign
BOOK_TALLY = 11
SHARE_RECORDED = 0.99
LONGEST_SILENCE_MS = 60_000.0

_FLOW = 6
_SNAPSHOTS = 7
_LAST_MS = 8
_SILENCE_MS = 9
_BROKEN = 10
_LAST_SIGN = 5


def _no_times() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _no_values() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class Trades:
    """Trade prints of one symbol, ascending by event time, then by trade id; empty by default.

    Times are int64 milliseconds UTC; `price` in quote, `quantity` in base, `side` +1.0 where the
    taker bought, -1.0 where the taker sold. Each print is there once, as it was first recorded.
    Raises ValueError for disorder, a row known before its event, and another side.
    """

    event_time_ms: NDArray[np.int64] = field(default_factory=_no_times)
    known_at_ms: NDArray[np.int64] = field(default_factory=_no_times)
    price: NDArray[np.float64] = field(default_factory=_no_values)
    quantity: NDArray[np.float64] = field(default_factory=_no_values)
    side: NDArray[np.float64] = field(default_factory=_no_values)

    def __post_init__(self) -> None:
        _check_ticks(self)
        strange = np.flatnonzero(np.abs(self.side) != 1.0)
        if len(strange):
            raise ValueError(f"Trades: found side {self.side[strange[0]]}, expected +1.0 or -1.0")

    def __len__(self) -> int:
        return len(self.event_time_ms)


@dataclass(frozen=True, slots=True)
class Depth:
    """Snapshots of one symbol's book, ascending by event time, then by update id; empty by default.

    Times are int64 milliseconds UTC, prices in quote, quantities in base (NaN where the source has
    none); `bid_quantity_100` is the sum of the first 100 levels. Raises ValueError as `Trades`.
    """

    event_time_ms: NDArray[np.int64] = field(default_factory=_no_times)
    known_at_ms: NDArray[np.int64] = field(default_factory=_no_times)
    best_bid: NDArray[np.float64] = field(default_factory=_no_values)
    best_ask: NDArray[np.float64] = field(default_factory=_no_values)
    best_bid_quantity: NDArray[np.float64] = field(default_factory=_no_values)
    best_ask_quantity: NDArray[np.float64] = field(default_factory=_no_values)
    bid_quantity_100: NDArray[np.float64] = field(default_factory=_no_values)
    ask_quantity_100: NDArray[np.float64] = field(default_factory=_no_values)

    def __post_init__(self) -> None:
        _check_ticks(self)

    def __len__(self) -> int:
        return len(self.event_time_ms)


def trades_in_bars(trades: Trades, bars: Bars, bar_ms: int) -> NDArray[np.float64]:
    """Return what the trades of each bar sum to, float64[n, 5] as `observation.TRADE_FIELDS`.

    A row is NaN unless the prints known at the close make up 99 % to 101 % of the bar's volume:
    partly recorded is not recorded. So is one without a print, for nothing says that it was
    recorded.
    """
    sums = np.full((len(bars), TRADE_SUMS), NAN)
    first, stop = _rows_of(trades, bars, bar_ms)
    compiled(_sum_trades)(
        first,
        stop,
        trades.known_at_ms,
        trades.quantity,
        trades.side,
        bars.open_time_ms + bar_ms,
        bars.volume,
        np.zeros(TRADES_TALLY),
        sums,
    )
    return sums


def depth_in_bars(depth: Depth, bars: Bars, bar_ms: int) -> NDArray[np.float64]:
    """Return each bar's book, float64[n, 7] as `observation.DEPTH_FIELDS`.

    The first six are those of the last snapshot of the bar known at its close, NaN where that is
    older than 60 s. `order_flow` is the sum of Cont, Kukanov & Stoikov's e_n over the consecutive
    snapshots of the bar, NaN under two, where one lacks a best quantity, and where the bar holds
    more than 60 s without a snapshot.
    """
    sums = np.full((len(bars), BOOK_SUMS), NAN)
    first, stop = _rows_of(depth, bars, bar_ms)
    columns = [getattr(depth, one.name) for one in fields(depth)][2:]
    compiled(_sum_depth)(
        first,
        stop,
        depth.event_time_ms,
        depth.known_at_ms,
        np.column_stack(columns),
        bars.open_time_ms,
        bar_ms,
        np.zeros(BOOK_TALLY),
        sums,
    )
    return sums


def fold_trade(tally: MutableSequence[float], quantity: float, side: float) -> None:
    """Add one print to a bar's tally."""
    tally[0] += 1.0
    if side > 0.0:
        tally[1] += quantity
    else:
        tally[2] += quantity
    tally[3] += side
    tally[4] += side * tally[_LAST_SIGN]
    tally[_LAST_SIGN] = side


def close_trades(tally: Sequence[float], volume: float, sums: MutableSequence[float]) -> None:
    """Write the five sums, or NaN where they are not those of the bar's volume."""
    blank(sums)
    traded = tally[1] + tally[2]
    if tally[0] > 0.0 and SHARE_RECORDED * volume <= traded <= (2.0 - SHARE_RECORDED) * volume:
        for i in range(TRADE_SUMS):
            sums[i] = tally[i]


def fold_book(
    tally: MutableSequence[float],
    since_open_ms: float,
    bid: float,
    ask: float,
    bid_quantity: float,
    ask_quantity: float,
    bid_quantity_100: float,
    ask_quantity_100: float,
) -> None:
    """Add one snapshot to a bar's tally; it becomes the last one."""
    if not (finite(bid) and finite(ask) and finite(bid_quantity) and finite(ask_quantity)):
        tally[_BROKEN] = 1.0
    elif tally[_SNAPSHOTS] > 0.0 and tally[_BROKEN] == 0.0:
        tally[_FLOW] += order_flow(
            tally[0], tally[1], tally[2], tally[3], bid, ask, bid_quantity, ask_quantity
        )
    silence = since_open_ms - tally[_LAST_MS]
    tally[_SILENCE_MS] = max(tally[_SILENCE_MS], silence)
    tally[_LAST_MS] = since_open_ms
    tally[_SNAPSHOTS] += 1.0
    tally[0] = bid
    tally[1] = ask
    tally[2] = bid_quantity
    tally[3] = ask_quantity
    tally[4] = bid_quantity_100
    tally[5] = ask_quantity_100


def order_flow(
    bid_before: float,
    ask_before: float,
    bid_quantity_before: float,
    ask_quantity_before: float,
    bid: float,
    ask: float,
    bid_quantity: float,
    ask_quantity: float,
) -> float:
    """Return e_n, what one change of the best quotes adds to demand less supply, in base.

    Cont, Kukanov & Stoikov, The Price Impact of Order Book Events, J. Financial Econometrics 12
    (2014), section 2.1.
    """
    flow = 0.0
    if bid >= bid_before:
        flow += bid_quantity
    if bid <= bid_before:
        flow -= bid_quantity_before
    if ask <= ask_before:
        flow -= ask_quantity
    if ask >= ask_before:
        flow += ask_quantity_before
    return flow


def close_book(tally: Sequence[float], bar_ms: float, values: MutableSequence[float]) -> None:
    """Write the last snapshot unless it is too old, and the order flow unless it is partial."""
    blank(values)
    silence = bar_ms - tally[_LAST_MS]
    if tally[_SNAPSHOTS] < 1.0 or silence > LONGEST_SILENCE_MS:
        return
    for i in range(6):
        values[i] = tally[i] if finite(tally[i]) else NAN
    if (
        tally[_SNAPSHOTS] >= 2.0
        and tally[_BROKEN] == 0.0
        and tally[_SILENCE_MS] <= LONGEST_SILENCE_MS
        and finite(tally[_FLOW])
    ):
        values[_FLOW] = tally[_FLOW]


def _sum_trades(
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
    known_at_ms: NDArray[np.int64],
    quantity: NDArray[np.float64],
    side: NDArray[np.float64],
    close_ms: NDArray[np.int64],
    volume: NDArray[np.float64],
    tally: MutableSequence[float],
    sums: Sequence[MutableSequence[float]],
) -> None:
    for i in range(len(first)):
        for slot in range(TRADES_TALLY):
            tally[slot] = 0.0
        for row in range(first[i], stop[i]):
            if known_at_ms[row] <= close_ms[i]:
                fold_trade(tally, quantity[row], side[row])
        close_trades(tally, volume[i], sums[i])


def _sum_depth(
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
    event_time_ms: NDArray[np.int64],
    known_at_ms: NDArray[np.int64],
    book: NDArray[np.float64],
    open_time_ms: NDArray[np.int64],
    bar_ms: int,
    tally: MutableSequence[float],
    sums: Sequence[MutableSequence[float]],
) -> None:
    for i in range(len(first)):
        for slot in range(BOOK_TALLY):
            tally[slot] = 0.0
        for row in range(first[i], stop[i]):
            if known_at_ms[row] <= open_time_ms[i] + bar_ms:
                fold_book(
                    tally,
                    float(event_time_ms[row] - open_time_ms[i]),
                    book[row, 0],
                    book[row, 1],
                    book[row, 2],
                    book[row, 3],
                    book[row, 4],
                    book[row, 5],
                )
        close_book(tally, float(bar_ms), sums[i])


def _rows_of(
    ticks: Trades | Depth, bars: Bars, bar_ms: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return int64[n] twice: where the rows of each bar begin and stop."""
    times = ticks.event_time_ms
    return np.searchsorted(times, bars.open_time_ms), np.searchsorted(
        times, bars.open_time_ms + bar_ms
    )


def _check_ticks(ticks: Trades | Depth) -> None:
    name = type(ticks).__name__
    lengths = {one.name: len(getattr(ticks, one.name)) for one in fields(ticks)}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{name}: found columns of length {lengths}, expected one length")
    times = ticks.event_time_ms
    known_at_ms = ticks.known_at_ms
    if len(times) and bool((np.diff(times) < 0).any()):
        row = int(np.flatnonzero(np.diff(times) < 0)[0])
        raise ValueError(
            f"{name}: found an event at {times[row + 1]} after one at {times[row]}, "
            "expected ascending times"
        )
    early = np.flatnonzero(known_at_ms < times)
    if len(early):
        raise known_too_early(name, int(times[early[0]]), int(known_at_ms[early[0]]))


def known_too_early(table: str, event_time_ms: int, known_at_ms: int) -> ValueError:
    """Return the error for a row of some table that was known before it happened."""
    return ValueError(
        f"{table}: found a row known at {known_at_ms}, before its event at {event_time_ms}; "
        "expected known_at_ms >= event_time_ms"
    )
