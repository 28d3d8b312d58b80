"""A seeded market: a pure function of seed, symbol, edges and absolute time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import INFLOW, OUTFLOW, SAME
from replay_venue.market.climate import Climate
from replay_venue.market.edges import NO_EDGES, Edges
from replay_venue.market.funding import (
    EIGHT_HOURLY,
    HOUR_MS,
    LIMIT,
    PERIOD_HOURS,
    FundingSchedule,
)
from replay_venue.market.instruments import Perpetual, instrument
from replay_venue.market.premium import quoted
from replay_venue.market.recent import Recent
from replay_venue.market.series import OnChain, Points
from replay_venue.market.tape import Block, TapeState, initial_state, next_block
from replay_venue.market.weather import BAR_MS, BLOCK_MS, DAY_MS, GENESIS_MS, MINUTE_MS

FUNDING_MS = 28_800_000
KEPT_BLOCKS = 96  # of all symbols of one market: a megabyte each
_ONCHAIN = {
    INFLOW: "days.flow_in_usd",
    OUTFLOW: "days.flow_out_usd",
    **{theirs: f"days.{ours}" for ours, theirs in SAME.items()},
}


@dataclass(frozen=True, slots=True)
class GeneratedMarket:
    """One symbol over a window, every value rounded to the decimals its source publishes.

    `funding` every 8 hours unless the symbol's schedule is another, `open_interest` every 15
    minutes in base quantity, `fear_greed` daily, known at its stamp; `onchain` daily, known a day
    after its stamp.
    """

    bars: Bars
    funding: Points
    open_interest: Points
    fear_greed: Points
    onchain: OnChain


def generate(
    seed: int,
    symbol: str,
    edge: float,
    start_ms: int,
    end_ms: int,
    timeframe: str,
    planted: Edges = NO_EDGES,
) -> GeneratedMarket:
    """Return everything stamped in [start_ms, end_ms): bars by open time, series by event time.

    The market begins 2023-01-01. A window is the slice of any longer one. A coarse candle is
    exactly the aggregate of its minutes. `edge` is the drift in bar standard deviations per unit
    of the latent signal that open interest reveals; 0 leaves the same noise without drift.
    `planted` adds edges of stated information coefficients.
    """
    return EndlessHistory(Climate(seed), symbol, edge, planted).market(start_ms, end_ms, timeframe)


class EndlessHistory:
    """One symbol from genesis to a horizon that is pushed further as asked for, never changed.

    Of each block only the state before it is kept, the block itself while it is among the recent
    ones of the market.
    """

    def __init__(
        self,
        climate: Climate,
        symbol: str,
        edge: float,
        planted: Edges = NO_EDGES,
        recent: Recent | None = None,
        schedule: FundingSchedule = EIGHT_HOURLY,
    ) -> None:
        self.instrument: Perpetual = instrument(symbol)
        self.planted = planted
        self._schedule = schedule
        self.seed = climate.seed
        self._climate = climate
        self._edge = edge
        self._states: list[TapeState] = [initial_state(self.instrument)]
        self.recent = Recent(KEPT_BLOCKS) if recent is None else recent

    def market(self, start_ms: int, end_ms: int, timeframe: str) -> GeneratedMarket:
        """Return everything stamped in [start_ms, end_ms)."""
        return GeneratedMarket(
            bars=self.bars(start_ms, end_ms, timeframe),
            funding=self.funding(start_ms, end_ms),
            open_interest=self.open_interest(start_ms, end_ms),
            fear_greed=self.fear_greed(start_ms, end_ms),
            onchain=self.onchain(start_ms, end_ms),
        )

    def funding(self, start_ms: int, end_ms: int) -> Points:
        """Return the rates settled in the window, by the symbol's schedule.

        A settlement of eight hours is drawn with noise; one of fewer is what the premium of that
        hour asks for, for as long as the interval lasts.
        """
        hours = _stamps(HOUR_MS, start_ms, end_ms)
        interval = self._schedule.hours_at(hours, self._period_rates(hours - 1))
        settles = hours // HOUR_MS % interval == 0
        bars = _stamps(BAR_MS, start_ms, end_ms)
        asked = self.column("premium", BAR_MS, start_ms, end_ms)[bars % HOUR_MS == 0]
        rates = np.where(
            interval == PERIOD_HOURS,
            self._period_rates(hours),
            np.rint(np.clip(asked * interval / PERIOD_HOURS, -LIMIT, LIMIT) * 1e8) / 1e8,
        )
        return Points(hours[settles], rates[settles])

    def funding_hours(self, at_ms: int) -> int:
        """Return how many hours lie between settlements, as in force at a moment."""
        at = np.array([at_ms], np.int64)
        return int(self._schedule.hours_at(at, self._period_rates(at))[0])

    def _period_rates(self, at_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the rate of the last multiple of eight hours at or before each moment, 0 before
        genesis.
        """
        if not len(at_ms):
            return np.empty(0)
        period = (at_ms - GENESIS_MS) // FUNDING_MS
        first_ms = GENESIS_MS + int(period[0]) * FUNDING_MS
        stop_ms = GENESIS_MS + int(period[-1]) * FUNDING_MS + 1
        rates = self.column("funding", FUNDING_MS, first_ms, stop_ms)
        before = np.zeros(max(-int(period[0]), 0))
        return np.concatenate([before, rates])[period - period[0]]

    def open_interest(self, start_ms: int, end_ms: int) -> Points:
        """Return open interest in base quantity at every 15m open in the window."""
        return self._points("open_interest", BAR_MS, start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        """Return the index of every day that starts in the window."""
        return self._points("fear_greed", DAY_MS, start_ms, end_ms)

    def onchain(self, start_ms: int, end_ms: int) -> OnChain:
        """Return the values of every day that starts in the window."""
        values = {
            metric: self.column(name, DAY_MS, start_ms, end_ms) for metric, name in _ONCHAIN.items()
        }
        return OnChain(_stamps(DAY_MS, start_ms, end_ms), values)

    def signal(self, start_ms: int, end_ms: int) -> Points:
        """Return the latent signal at every 15m open, for those who measure what was planted."""
        return self._points("signal", BAR_MS, start_ms, end_ms)

    def volatility(self, start_ms: int, end_ms: int) -> Points:
        """Return the standard deviation that each 15m bar's log return was drawn with."""
        return self._points("volatility", BAR_MS, start_ms, end_ms)

    def bars(self, start_ms: int, end_ms: int, timeframe: str) -> Bars:
        """Return the complete candles that open in the window, summed up from their minutes."""
        times = _opens(timeframe, start_ms, end_ms)
        minutes = self._minutes("minutes", times, timeframe)
        return self._candles(times, minutes)

    def mark_bars(self, start_ms: int, end_ms: int, timeframe: str) -> Bars:
        """Return the candles of the mark price that open in the window, without volume."""
        times = _opens(timeframe, start_ms, end_ms)
        return _prices(times, self._minutes("quoted.mark", times, timeframe))

    def index_bars(self, start_ms: int, end_ms: int, timeframe: str) -> Bars:
        """Return the candles of the index price that open in the window, without volume."""
        times = _opens(timeframe, start_ms, end_ms)
        return _prices(times, self._minutes("quoted.index", times, timeframe))

    def running_bar(self, open_ms: int, now_ms: int) -> Bars:
        """Return the candle that opened at `open_ms` from the minutes complete at `now_ms`."""
        times = np.array([open_ms], np.int64)
        minutes = self.column("minutes", MINUTE_MS, open_ms, now_ms // MINUTE_MS * MINUTE_MS)
        if len(minutes):
            return self._candles(times, minutes[None])
        opened = self.column("minutes", MINUTE_MS, open_ms, open_ms + 1)[:, [0, 0, 0, 0, 4]]
        opened[:, 4] = 0
        return self._candles(times[: len(opened)], opened[:, None])

    def column(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> NDArray:
        """Return the rows of one column of the blocks that are stamped in the window."""
        start = max(_steps_from_genesis(start_ms, step_ms), 0)
        stop = max(_steps_from_genesis(end_ms, step_ms), start)
        length = BLOCK_MS // step_ms
        parts = []
        for number in range(start // length, -(-stop // length)):
            first = number * length
            part = self._part(number, name)
            parts.append(part[max(start - first, 0) : min(stop - first, length)])
        return np.concatenate(parts) if parts else self._part(0, name)[:0]

    def block(self, number: int) -> Block:
        """Return block `number`, all before it generated once."""
        while len(self._states) <= number:
            self._made(len(self._states) - 1)
        return self._made(number)

    def _made(self, number: int) -> Block:
        return self.recent.get((self.instrument.symbol, number), lambda: self._make(number))

    def _make(self, number: int) -> Block:
        state, block = next_block(
            climate=self._climate,
            edge=self._edge,
            planted=self.planted,
            what=self.instrument,
            number=number,
            state=self._states[number],
        )
        if number + 1 == len(self._states):
            self._states.append(state)
        return block

    def _part(self, number: int, name: str) -> NDArray:
        """Return a column of a block by its name, dotted where it lies in a part of it."""
        part, _, column = name.rpartition(".")
        block = self.block(number)
        if part == "quoted":
            made = self.recent.get(
                (self.instrument.symbol, number, part),
                lambda: quoted(self.seed, self.instrument, number, block),
            )
            return getattr(made, column)
        return getattr(getattr(block, part) if part else block, column)

    def _minutes(self, name: str, times: NDArray[np.int64], timeframe: str) -> NDArray:
        """Return the minutes of the bars that open at `times`: [bars, minutes, columns]."""
        step = TIMEFRAME_MS[timeframe]
        start_ms = int(times[0]) if len(times) else GENESIS_MS
        minutes = self.column(name, MINUTE_MS, start_ms, start_ms + len(times) * step)
        return minutes.reshape(len(times), step // MINUTE_MS, minutes.shape[1])

    def _candles(self, times: NDArray[np.int64], minutes: NDArray[np.int32]) -> Bars:
        """Sum int32[n, minutes, 5] up; whole ticks and lots make each value its own decimal."""
        tick = 10.0**self.instrument.tick_decimals
        lot = 10.0**self.instrument.lot_decimals
        volume = minutes[:, :, 4].sum(axis=1, dtype=np.int64) / lot
        open_, high, low, close = _summed(minutes)
        return Bars(
            open_time_ms=times,
            open=open_ / tick,
            high=high / tick,
            low=low / tick,
            close=close / tick,
            volume=volume,
        )

    def _points(self, name: str, step_ms: int, start_ms: int, end_ms: int) -> Points:
        values = self.column(name, step_ms, start_ms, end_ms)
        return Points(_stamps(step_ms, start_ms, end_ms), values)


def _prices(times: NDArray[np.int64], minutes: NDArray[np.float64]) -> Bars:
    return Bars(times, *_summed(minutes), np.zeros(len(times)))


def _summed(minutes: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return open, high, low and close of bars from [bars, minutes, columns]."""
    return (
        minutes[:, 0, 0],
        minutes[:, :, 1].max(axis=1),
        minutes[:, :, 2].min(axis=1),
        minutes[:, -1, 3],
    )


def _opens(timeframe: str, start_ms: int, end_ms: int) -> NDArray[np.int64]:
    if timeframe not in TIMEFRAME_MS:
        expected = list(TIMEFRAME_MS)
        raise ValueError(f"bars: found timeframe {timeframe!r}, expected one of {expected}")
    return _stamps(TIMEFRAME_MS[timeframe], start_ms, end_ms)


def _steps_from_genesis(time_ms: int, step_ms: int) -> int:
    return -(-(time_ms - GENESIS_MS) // step_ms)


def _stamps(step_ms: int, start_ms: int, end_ms: int) -> NDArray[np.int64]:
    """Return the multiples of `step_ms` from genesis that lie in the window."""
    first = GENESIS_MS + max(_steps_from_genesis(start_ms, step_ms), 0) * step_ms
    return np.arange(first, max(end_ms, first), step_ms, dtype=np.int64)
