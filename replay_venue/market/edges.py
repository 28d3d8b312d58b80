"""Edges planted in the market: what foretells the next bar, and by how much.

Each family has a signal that anyone can compute from what is published when a bar opens. An edge of
ic means: the correlation of that signal with the return of the bar that opens, in units of the
bar's volatility, is ic. Several families add up; a signal that lasts gives momentum too, because
the drift that it causes does.

family         signal at a bar's open
open_interest  log change of open interest over 4 hours, as measured one bar before
funding        minus the side of the last settled rate: -1 above 0.01 %, +1 below
momentum       sum of the last 16 bar returns over the root of the sum of their squares
onchain        minus the side of the last published net flow to exchanges (26 h after its day began)
sentiment      minus the side of 50 on which the last published index lies (1 h after its stamp)
book           imbalance of the ten best levels a side: (bids - asks) / (bids + asks)

All but the last are planted as drift; the book is told what comes instead, so that prices are the
same with and without it.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.daily import tilt
from replay_venue.market.weather import BLOCK_BARS, DAY_BARS, RETURN_SPREAD, decay

FAMILIES = ("open_interest", "funding", "momentum", "onchain", "sentiment", "book")
LARGEST_IC = 0.5  # of all families together, root of the sum of squares
MOMENTUM_BARS = 16
PREMIUM_DECAY = decay(64)
FUNDING_BARS = 32
FUNDING_NEUTRAL = 0.0001
FUNDING_OF_PREMIUM = 0.004
FUNDING_NOISE = 0.00003
_OI_SHOWS = 0.835  # correlation of the latent signal with the change of open interest
_SENTIMENT_STAYS = 0.765  # the rest is variance that a side lacks, and drift given back meanwhile
_MOMENTUM_FEEDS_ITSELF = 3.75  # variance it adds to its own signal, per unit of drift
_BOOK_SHOWS = 0.9  # correlation of what the book was told with its imbalance
_SENTIMENT_LATE_BARS = 4
_ONCHAIN_LATE_BARS = 8  # after the day's end


@dataclass(frozen=True, slots=True)
class Edges:
    """The information coefficient planted for each family, 0 for none."""

    open_interest: float = 0.0
    funding: float = 0.0
    momentum: float = 0.0
    onchain: float = 0.0
    sentiment: float = 0.0
    book: float = 0.0

    def __post_init__(self) -> None:
        total = math.hypot(*(getattr(self, field.name) for field in fields(self)))
        if not total <= LARGEST_IC:
            raise ValueError(
                f"edges: found information coefficients of {total:g} together, expected at most "
                f"{LARGEST_IC}"
            )

    @property
    def latent(self) -> float:
        """Return the drift per unit of the signal that open interest reveals."""
        return self._drift(self.open_interest) / _OI_SHOWS

    @property
    def told(self) -> float:
        """Return the correlation of the book's lean with the return to come."""
        return self.book / _BOOK_SHOWS

    @property
    def folded(self) -> bool:
        """Return whether the drift of a bar depends on the bars before it."""
        return any((self.funding, self.momentum, self.onchain, self.sentiment))

    def drifts(self) -> tuple[float, float, float, float]:
        """Return drift per unit of signal: funding, momentum, onchain, sentiment."""
        trend = self._drift(self.momentum)
        spread = math.sqrt(1.0 + _MOMENTUM_FEEDS_ITSELF * trend)
        return (
            self._drift(self.funding),
            trend / spread,
            self._drift(self.onchain),
            self._drift(self.sentiment) / _SENTIMENT_STAYS,
        )

    def _drift(self, ic: float) -> float:
        drifting = math.hypot(
            self.open_interest, self.funding, self.momentum, self.onchain, self.sentiment
        )
        return ic * RETURN_SPREAD / math.sqrt(1.0 - drifting**2)


NO_EDGES = Edges()


def edges(by_family: Mapping[str, float]) -> Edges:
    """Return edges by family name; ValueError for a family this market does not have."""
    unknown = [family for family in by_family if family not in FAMILIES]
    if unknown:
        raise ValueError(f"edges: found families {unknown}, expected some of {list(FAMILIES)}")
    return Edges(**by_family)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one block hands to the next: what the signals of its first bars look back on.

    `returns` are the last bar returns; `flow_sides` those of the last two days.
    """

    returns: tuple[float, ...] = ()
    funding_side: float = 0.0
    flow_sides: tuple[float, float] = (0.0, 0.0)
    sentiment_side: float = 0.0


@dataclass(frozen=True, slots=True)
class Untouched:
    """One block before the planted drift; arrays over bars unless said otherwise.

    `sigma` times `noise` is the undrifted return. `latent` is a drift per unit of a signal, and
    that signal. `funding_noise` float64[settlements], `flow_noise`, `fear_greed` float64[days].
    """

    sigma: NDArray[np.float64]
    noise: NDArray[np.float64]
    latent: tuple[float, NDArray[np.float64]]
    funding_noise: NDArray[np.float64]
    flow_noise: NDArray[np.float64]
    fear_greed: NDArray[np.float64]

    def latent_drift(self) -> NDArray[np.float64]:
        """Return the drift that the latent signal gives each bar."""
        size, signal = self.latent
        return size * self.sigma * signal


def fold_drift(
    planted: Edges, start: float, premium: float, give_back: float, bars: Untouched, memory: Memory
) -> tuple[Memory, NDArray[np.float64]]:
    """Return the drift given so far at each bar's end, float64[bars], where `start` was before.

    Drift is given bar by bar and returned at rate 1 - `give_back`, as in the tape.
    """
    of_funding, of_momentum, of_onchain, of_sentiment = planted.drifts()
    undrifted = (bars.sigma * bars.noise).tolist()
    fed = bars.latent_drift().tolist()
    sigma = bars.sigma.tolist()
    sentiment = np.sign(bars.fear_greed - 50.0).tolist()
    returns: deque[float] = deque(memory.returns, maxlen=MOMENTUM_BARS)
    side = memory.funding_side
    flows = memory.flow_sides
    mood = memory.sentiment_side
    day = 0.0
    known_flow = flows[0]
    settled = side
    path = np.empty(BLOCK_BARS)
    given = start
    for bar in range(BLOCK_BARS):
        of_day = bar % DAY_BARS
        side = settled
        if bar % FUNDING_BARS == 0:
            settled = _funding_side(premium, bars.funding_noise[bar // FUNDING_BARS])
        if of_day == 0 and bar:
            leaning = tilt(bars.flow_noise[bar // DAY_BARS - 1 : bar // DAY_BARS], np.array([day]))
            flows = (flows[1], float(np.sign(leaning[0])))
            day = 0.0
        if of_day == _ONCHAIN_LATE_BARS:
            known_flow = flows[1]
        if of_day == _SENTIMENT_LATE_BARS:
            mood = sentiment[bar // DAY_BARS]
        signal = (
            of_momentum * _trend(returns)
            - of_funding * side
            - of_onchain * known_flow
            - of_sentiment * mood
        )
        after = give_back * given + fed[bar] + sigma[bar] * signal
        moved = undrifted[bar] + after - given
        given = path[bar] = after
        premium = PREMIUM_DECAY * premium + moved
        day += moved
        returns.append(moved)
    leaning = tilt(bars.flow_noise[-1:], np.array([day]))
    flows = (flows[1], float(np.sign(leaning[0])))
    return Memory(tuple(returns), settled, flows, mood), path


def funding_of(premium: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rate that a premium of log returns asks for, before noise and limits."""
    return FUNDING_NEUTRAL + FUNDING_OF_PREMIUM * premium


def _funding_side(premium: float, noise: float) -> float:
    """Return on which side of neutral the rate that settles now lies."""
    return math.copysign(1.0, FUNDING_OF_PREMIUM * premium + FUNDING_NOISE * noise)


def _trend(returns: deque[float]) -> float:
    squares = sum(one * one for one in returns)
    return sum(returns) / math.sqrt(squares) if squares > 0.0 else 0.0
