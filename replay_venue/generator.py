"""A seeded market: a pure function of seed, symbol, edge and absolute time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.instruments import Instrument, instrument
from replay_venue.series import OnChain, Points
from replay_venue.tape import Block, initial_state, next_block
from replay_venue.weather import BAR_MS, BLOCK_MS, DAY_MS, GENESIS_MS, MINUTE_MS

FUNDING_MS = 28_800_000


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol over a window, every value rounded to the decimals its source publishes.

    `funding` every 8 hours, `open_interest` every 15 minutes in base quantity, `fear_greed` daily,
    known at its stamp; `onchain` daily, known a day after its stamp.
    """

    bars: Bars
    funding: Points
    open_interest: Points
    fear_greed: Points
    onchain: OnChain


def generate(
    seed: int, symbol: str, edge: float, start_ms: int, end_ms: int, timeframe: str
) -> Market:
    """Return everything stamped in [start_ms, end_ms): bars by open time, series by event time.

    The market begins 2023-01-01. A window is the slice of any longer one. A coarse candle is
    exactly the aggregate of its minutes. `edge` is the drift in bar standard deviations per unit
    of the planted signal, which open interest reveals; 0 leaves the same noise without drift.
    """
    history = History(seed, symbol, edge)
    history.extend(end_ms)
    return history.market(start_ms, end_ms, timeframe)


class History:
    """One symbol from genesis to a horizon that can be pushed further, never changed."""

    def __init__(self, seed: int, symbol: str, edge: float) -> None:
        if seed < 0:
            raise ValueError(f"History: found seed {seed}, expected 0 or more")
        self.instrument: Instrument = instrument(symbol)
        self._seed = seed
        self._edge = edge
        self._state = initial_state(self.instrument)
        self._blocks: list[Block] = []

    @property
    def end_ms(self) -> int:
        """Return the time before which everything is generated."""
        return GENESIS_MS + len(self._blocks) * BLOCK_MS

    def extend(self, to_ms: int) -> None:
        """Generate whole blocks until `to_ms` is covered."""
        while self.end_ms < to_ms:
            self._state, block = next_block(
                self._seed, self._edge, self.instrument, len(self._blocks), self._state
            )
            self._blocks.append(block)

    def market(self, start_ms: int, end_ms: int, timeframe: str) -> Market:
        """Return everything stamped in [start_ms, end_ms); `extend` must have covered it."""
        return Market(
            bars=self.bars(start_ms, end_ms, timeframe),
            funding=self.funding(start_ms, end_ms),
            open_interest=self.open_interest(start_ms, end_ms),
            fear_greed=self.fear_greed(start_ms, end_ms),
            onchain=self.onchain(start_ms, end_ms),
        )

    def funding(self, start_ms: int, end_ms: int) -> Points:
        """Return the rates settled in the window."""
        return self._points("funding", FUNDING_MS, start_ms, end_ms)

    def open_interest(self, start_ms: int, end_ms: int) -> Points:
        """Return open interest in base quantity at every 15m open in the window."""
        return self._points("open_interest", BAR_MS, start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        """Return the index of every day that starts in the window."""
        return self._points("fear_greed", DAY_MS, start_ms, end_ms)

    def onchain(self, start_ms: int, end_ms: int) -> OnChain:
        """Return the values of every day that starts in the window."""
        names = ("flow_in_usd", "flow_out_usd", "mvrv")
        columns = (self._column(name, DAY_MS, start_ms, end_ms) for name in names)
        return OnChain(_stamps(DAY_MS, start_ms, end_ms), *columns)

    def signal(self, start_ms: int, end_ms: int) -> Points:
        """Return the planted signal at every 15m open, for those who measure what was planted."""
        return self._points("signal", BAR_MS, start_ms, end_ms)

    def bars(self, start_ms: int, end_ms: int, timeframe: str) -> Bars:
        """Return the complete candles that open in the window, summed up from their minutes."""
        if timeframe not in TIMEFRAME_MS:
            expected = list(TIMEFRAME_MS)
            raise ValueError(f"bars: found timeframe {timeframe!r}, expected one of {expected}")
        step = TIMEFRAME_MS[timeframe]
        times = _stamps(step, start_ms, end_ms)
        start_ms = int(times[0]) if len(times) else start_ms
        minutes = self._column("minutes", MINUTE_MS, start_ms, start_ms + len(times) * step)
        return self._candles(times, minutes.reshape(len(times), step // MINUTE_MS, 5))

    def running_bar(self, open_ms: int, now_ms: int) -> Bars:
        """Return the candle that opened at `open_ms` from the minutes complete at `now_ms`."""
        times = np.array([open_ms], np.int64)
        minutes = self._column("minutes", MINUTE_MS, open_ms, now_ms // MINUTE_MS * MINUTE_MS)
        if len(minutes):
            return self._candles(times, minutes[None])
        opened = self._column("minutes", MINUTE_MS, open_ms, open_ms + 1)[:, [0, 0, 0, 0, 4]]
        opened[:, 4] = 0
        return self._candles(times, opened[None])

    def _candles(self, times: NDArray[np.int64], minutes: NDArray[np.int32]) -> Bars:
        """Sum int32[n, minutes, 5] up; whole ticks and lots make each value its own decimal."""
        tick, lot = 10.0**self.instrument.tick_decimals, 10.0**self.instrument.lot_decimals
        return Bars(
            times,
            minutes[:, 0, 0] / tick,
            minutes[:, :, 1].max(axis=1) / tick,
            minutes[:, :, 2].min(axis=1) / tick,
            minutes[:, -1, 3] / tick,
            minutes[:, :, 4].sum(axis=1, dtype=np.int64) / lot,
        )

    def _points(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> Points:
        values = self._column(name, step_ms, start_ms, end_ms)
        return Points(_stamps(step_ms, start_ms, end_ms), values)

    def _column(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> NDArray:
        """Return the rows of one column that are stamped in the window."""
        self.extend(end_ms)
        start = max(_steps_from_genesis(start_ms, step_ms), 0)
        stop = max(_steps_from_genesis(end_ms, step_ms), start)
        length = BLOCK_MS // step_ms
        parts = []
        for number in range(start // length, -(-stop // length)):
            first = number * length
            part = getattr(self._blocks[number], name)
            parts.append(part[max(start - first, 0) : min(stop - first, length)])
        return np.concatenate(parts) if parts else np.empty((0, 5) if name == "minutes" else 0)


def _steps_from_genesis(time_ms: int, step_ms: int) -> int:
    return -(-(time_ms - GENESIS_MS) // step_ms)


def _stamps(step_ms: int, start_ms: int, end_ms: int) -> NDArray[np.int64]:
    """Return the multiples of `step_ms` from genesis that lie in the window."""
    first = GENESIS_MS + max(_steps_from_genesis(start_ms, step_ms), 0) * step_ms
    return np.arange(first, max(end_ms, first), step_ms, dtype=np.int64)
