"""The settings that turn probabilities into money."""

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Slots of `TradingSettings.vector()`, in the order of the fields.
MIN_CONFIDENCE = 0
MIN_PROB_DIFF = 1
TAKE_PROFIT_ATR = 2
STOP_LOSS_ATR = 3
HORIZON_BARS = 4
RISK_PER_TRADE = 5
MAX_NOTIONAL_FRACTION = 6
FEE_BPS = 7
HALF_SPREAD_BPS = 8
SLIPPAGE_BPS = 9
MAX_DAILY_LOSS = 10
MAX_WEEKLY_DRAWDOWN = 11
MAX_SESSION_DRAWDOWN = 12
MAX_CONSECUTIVE_LOSSES = 13
PAUSE_BARS = 14
INITIAL_EQUITY = 15

_WHOLE = frozenset({"horizon_bars", "max_consecutive_losses", "pause_bars"})
_SHARES = frozenset(
    {
        "min_confidence",
        "min_prob_diff",
        "risk_per_trade",
        "max_daily_loss",
        "max_weekly_drawdown",
        "max_session_drawdown",
    }
)
_POSITIVE = frozenset({"take_profit_atr", "stop_loss_atr", "initial_equity"})
_SMALLEST = 1e-6
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class TradingSettings:
    """Everything that turns probabilities into money; nothing here has a default.

    Shares (`min_*`, `risk_per_trade`, `max_*loss`, `max_*drawdown`) are fractions in 0..1, costs
    are basis points of the traded notional per fill, barriers are multiples of the ATR at the
    decision, horizon and pause count bars. `risk_per_trade` is the share of equity lost when the
    stop is hit, costs aside; `max_notional_fraction` caps quantity × price as a multiple of equity.
    Raises ValueError.
    """

    min_confidence: float
    min_prob_diff: float
    take_profit_atr: float
    stop_loss_atr: float
    horizon_bars: int
    risk_per_trade: float
    max_notional_fraction: float
    fee_bps: float
    half_spread_bps: float
    slippage_bps: float
    max_daily_loss: float
    max_weekly_drawdown: float
    max_session_drawdown: float
    max_consecutive_losses: int
    pause_bars: int
    initial_equity: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    def to_dict(self) -> dict[str, float | int]:
        """Return the settings by name, ready for canonical JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from exactly the known names; raise ValueError naming what is not."""
        names = {field.name for field in fields(cls)}
        missing = sorted(names - set(values))
        unknown = sorted(map(str, set(values) - names))
        if missing or unknown:
            raise ValueError(
                f"trading settings: found missing {missing} and unknown {unknown},"
                f" expected exactly {sorted(names)}"
            )
        return cls(**values)

    def vector(self) -> NDArray[np.float64]:
        """Return the settings as float64 in field order: the form that `step` takes."""
        return np.array([getattr(self, field.name) for field in fields(self)], dtype=np.float64)


def _checked(name: str, value: Any) -> float | int:
    """Return the value as int or float; raise ValueError for a wrong type or range."""
    whole = name in _WHOLE
    low = 1 if whole else _SMALLEST if name in _POSITIVE else 0
    high = 1.0 if name in _SHARES else _LARGEST
    if not _is_number(value, whole) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise ValueError(
            f"trading setting {name}: found {reprlib.repr(value)},"
            f" expected {kind} from {low:g} to {high:g}"
        )
    return int(value) if whole else float(value)


def _is_number(value: object, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)
