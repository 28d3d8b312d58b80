"""A seeded market: a pure function of seed, symbol, edge and absolute time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.instruments import Instrument, instrument
from replay_venue.tape import Block, initial_state, next_block
from replay_venue.weather import BAR_MS, BLOCK_MS, DAY_MS, GENESIS_MS, MINUTE_MS

FUNDING_MS = 28_800_000


@dataclass(frozen=True, slots=True)
class Points:
    """A series of values, ascending in time: `time_ms` int64[m] and `value` float64[m]."""

    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OnChain:
    """Daily on-chain values; `time_ms` is the start of the day described, which is over a day later."""

    time_ms: NDArray[np.int64]
    flow_in_usd: NDArray[np.float64]
    flow_out_usd: NDArray[np.float64]
    mvrv: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol over a window, every value already rounded to the decimals its source publishes.

    `funding` every 8 hours, `open_interest` every 15 minutes (base quantity), `fear_greed` daily, known at its
    stamp; `onchain` daily, known a day after its stamp.
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

    The market begins 2023-01-01. A window is the slice of any longer one. A coarse candle is exactly the
    aggregate of its minutes. `edge` is the drift in bar standard deviations per unit of the planted signal,
    which open interest reveals; 0 leaves the same noise without drift.
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
            number = len(self._blocks)
            self._state, block = next_block(
                self._seed, self._edge, self.instrument, number, self._state
            )
            self._blocks.append(block)

    def market(self, start_ms: int, end_ms: int, timeframe: str) -> Market:
        """Return everything stamped in [start_ms, end_ms); `extend` must have covered it."""
        return Market(
            bars=self.bars(start_ms, end_ms, timeframe),
            funding=self._points("funding", FUNDING_MS, start_ms, end_ms),
            open_interest=self._points("open_interest", BAR_MS, start_ms, end_ms),
            fear_greed=self._points("fear_greed", DAY_MS, start_ms, end_ms),
            onchain=OnChain(
                self._stamps(DAY_MS, start_ms, end_ms),
                self._column("flow_in_usd", DAY_MS, start_ms, end_ms),
                self._column("flow_out_usd", DAY_MS, start_ms, end_ms),
                self._column("mvrv", DAY_MS, start_ms, end_ms),
            ),
        )

    def signal(self, start_ms: int, end_ms: int) -> Points:
        """Return the planted signal at the open of each 15m bar, for those who measure what was planted."""
        return self._points("signal", BAR_MS, start_ms, end_ms)

    def bars(self, start_ms: int, end_ms: int, timeframe: str) -> Bars:
        """Return the complete candles that open in [start_ms, end_ms), summed up from their minutes."""
        if timeframe not in TIMEFRAME_MS:
            raise ValueError(
                f"bars: found timeframe {timeframe!r}, expected one of {list(TIMEFRAME_MS)}"
            )
        step = TIMEFRAME_MS[timeframe]
        times = self._stamps(step, start_ms, end_ms)
        if len(times) == 0:
            return _candles(times, np.empty((0, 1, 5), np.int32), self.instrument)
        minutes = self._column("minutes", MINUTE_MS, int(times[0]), int(times[-1]) + step)
        return _candles(times, minutes.reshape(len(times), -1, 5), self.instrument)

    def partial_bar(self, open_ms: int, now_ms: int) -> Bars:
        """Return the candle that opened at `open_ms` as it stands at `now_ms`, the running minute included."""
        end_ms = max(now_ms, open_ms) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        minutes = self._column("minutes", MINUTE_MS, open_ms, end_ms)
        return _candles(np.array([open_ms], np.int64), minutes[None], self.instrument)

    def _points(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> Points:
        times = self._stamps(step_ms, start_ms, end_ms)
        return Points(times, self._column(name, step_ms, start_ms, end_ms))

    def _stamps(self, step_ms: int, start_ms: int, end_ms: int) -> NDArray[np.int64]:
        first = -(-max(start_ms, GENESIS_MS) // step_ms) * step_ms
        return np.arange(first, max(end_ms, first), step_ms, dtype=np.int64)

    def _column(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> NDArray:
        if end_ms > self.end_ms:
            raise ValueError(
                f"History: found end {end_ms}, expected at most {self.end_ms}: extend first"
            )
        start = max(-(-(start_ms - GENESIS_MS) // step_ms), 0)
        stop = max(-(-(end_ms - GENESIS_MS) // step_ms), start)
        length = BLOCK_MS // step_ms
        blocks = range(start // length, max(-(-stop // length), start // length + 1))
        kept = [
            getattr(self._blocks[number], name) for number in blocks if number < len(self._blocks)
        ]
        if not kept:
            return np.empty(0)
        offset = blocks[0] * length
        return np.concatenate(kept)[start - offset : stop - offset]


def _candles(times: NDArray[np.int64], minutes: NDArray[np.int32], what: Instrument) -> Bars:
    """Sum int32[n, minutes, 5] up into n candles; whole ticks and lots make every value its own decimal."""
    tick, lot = 10.0**what.tick_decimals, 10.0**what.lot_decimals
    return Bars(
        times,
        minutes[:, 0, 0] / tick,
        minutes[:, :, 1].max(axis=1) / tick,
        minutes[:, :, 2].min(axis=1) / tick,
        minutes[:, -1, 3] / tick,
        minutes[:, :, 4].sum(axis=1, dtype=np.int64) / lot,
    )
