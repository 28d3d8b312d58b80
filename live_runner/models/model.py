"""What decides a symbol's bars, a bundle or the rules, replaced as one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernel.decision import Abstain, rules_probabilities
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES, feature, warmup_bars
from kernel.observation import (
    BAR_FIELDS,
    DATED_SERIES,
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    MINUTE_FIELDS,
    SERIES,
    TIME_FIELDS,
    TRADE_FIELDS,
)
from kernel.trading import Trader
from kernel.trading_settings import TradingSettings
from live_runner.models.inference import LoadedBundle

ATR = FEATURES.index("atr_14")
EMA_STACK = FEATURES.index("ema_stack")
RSI = FEATURES.index("rsi_14")
ADX = FEATURES.index("adx_14")
RULE_INPUTS = (ATR, EMA_STACK, RSI, ADX)
RULES_WARM_UP = warmup_bars([FEATURES[i] for i in RULE_INPUTS])
NEVER_MISSING = frozenset(i for i, name in enumerate(FEATURES) if feature(name).missing == "never")
FED_BY: Mapping[str, str] = {  # the series that a field of an observation comes from, '' for none
    **dict(zip(SERIES, SERIES, strict=True)),
    **dict(zip(TIME_FIELDS, DATED_SERIES, strict=True)),
    **dict.fromkeys(MINUTE_FIELDS, "minutes"),
    **dict.fromkeys(FUNDING_FIELDS, "funding_rate"),
    **dict.fromkeys((*BAR_FIELDS, *TRADE_FIELDS, *DEPTH_FIELDS), ""),
}
COST_FIELDS = ("funding_rate",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Everything that decides a bar; `bundle` None means that rules do.

    Stream and trader advance with each bar. A swap brings its own stream and keeps the account of
    the trader. `lost` says why the bundle that was in force is not any more, '' where none was
    lost: what a person approved is not followed by what nobody did.
    """

    bundle: LoadedBundle | None
    settings: TradingSettings
    settings_digest: str
    stream: Stream
    trader: Trader
    lost: str = ""

    @property
    def digest(self) -> str:
        """Return the bundle's digest, '' for the rules."""
        return self.bundle.digest if self.bundle else ""

    @property
    def epoch(self) -> int:
        """Return the epoch under which the bundle was published, 0 for the rules."""
        return self.bundle.epoch if self.bundle else 0

    @property
    def begins_ms(self) -> int:
        """Return after which bar it lives on the runner's own, not on the bundle's history."""
        return self.bundle.state_open_ms if self.bundle else 0

    @property
    def inputs(self) -> Sequence[int]:
        """Return which of FEATURES decide."""
        return self.bundle.columns if self.bundle else RULE_INPUTS

    @property
    def warmup_bars(self) -> int:
        """Return after how many bars all of them have a value."""
        return self.bundle.warmup_bars if self.bundle else RULES_WARM_UP

    def reads(self, series: str) -> bool:
        """Say whether a series decides or costs; a series or a field that nobody knows may."""
        inputs = (FEATURES[i] for i in (*self.inputs, ATR))
        read = {*COST_FIELDS, *(name for one in inputs for name in feature(one).inputs)}
        known = series in FED_BY.values()
        return not known or any(FED_BY.get(name, series) == series for name in read)

    def missing(self, features: Sequence[float]) -> str:
        """Return the first input without a value that always has one, '' for none."""
        lost = (i for i in self.inputs if i in NEVER_MISSING and math.isnan(features[i]))
        return next((FEATURES[i] for i in lost), "")

    def judge(self, features: Sequence[float]) -> tuple[list[float], Abstain]:
        """Return (p_sell, p_hold, p_buy) of a row in the order of FEATURES, and why its graph would
        rather not decide, NONE where it would.
        """
        if self.bundle:
            return self.bundle.judge(features)
        rules = rules_probabilities(features[EMA_STACK], features[RSI], features[ADX])
        return list(rules), Abstain.NONE
