"""What the symbols of one market share, generated once for all of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.shocks import LEADER, LEADER_LOADING, own_shocks
from replay_venue.market.weather import Weather, WeatherState, next_weather, stream


class _Shared(NamedTuple):
    weather: Weather
    leader: NDArray[np.float64]


class Climate:
    """Weather and the leader's shocks, block by block from genesis."""

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"market: found seed {seed}, expected 0 or more")
        self.seed = seed
        self._state = WeatherState()
        self._blocks: list[_Shared] = []

    def weather(self, block: int) -> Weather:
        """Return the weather of a block."""
        return self._shared(block).weather

    def leader(self, block: int) -> NDArray[np.float64]:
        """Return the leader's shocks, float64[bars, 15]; nothing moved before genesis."""
        shocks = self._shared(max(block, 0)).leader
        return shocks if block >= 0 else np.zeros_like(shocks)

    def _shared(self, block: int) -> _Shared:
        while len(self._blocks) <= block:
            number = len(self._blocks)
            self._state, weather = next_weather(self.seed, number, self._state)
            rng = stream(self.seed, number, f"{LEADER} price")
            self._blocks.append(_Shared(weather, own_shocks(rng, LEADER_LOADING, weather)))
        return self._blocks[block]
