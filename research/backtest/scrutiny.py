"""What else is asked of an account: harder worlds, what trading may cost, and how much is luck."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from kernel.trading_settings import TradingSettings
from research.backtest.run import BacktestResult
from research.backtest.worlds import WORLDS, World
from research.evaluation.luck import Luck, luck
from research.evaluation.metrics import YEAR_MS, Metrics, bar_returns
from research.evaluation.sharpe import least_bars, probabilistic, record

MOST_TIMES = 64.0  # what still earns at so many times its costs has none to speak of
COST_STEP = 1e-3
CONFIDENCE = 0.95
SEED = 20250401
Trade = Callable[[World], BacktestResult]


@dataclass(frozen=True, slots=True)
class Scrutiny:
    """What harder worlds and other draws leave of one account.

    `worlds` are by name. `break_even_bps` is the cost of a fill at which nothing is earned.
    `skill` is the probability that the true Sharpe ratio is above 0, were this the only model ever
    tried, and `least_days` how long a record like it must be for that to reach 0.95 (infinite where
    it lost). `luck` is None where trades are too few to tell.
    """

    worlds: Mapping[str, Metrics]
    break_even_bps: float
    skill: float
    days: float
    least_days: float
    luck: Luck | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON: an infinite length is None there."""
        return {
            "worlds": {name: metrics.to_dict() for name, metrics in self.worlds.items()},
            "break_even_bps": self.break_even_bps,
            "skill": self.skill,
            "days": self.days,
            "least_days": self.least_days if self.least_days < float("inf") else None,
            "luck": self.luck.to_dict() if self.luck else None,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the scrutiny that `to_dict` wrote."""
        least = raw["least_days"]
        return cls(
            worlds={name: Metrics(**metrics) for name, metrics in raw["worlds"].items()},
            break_even_bps=raw["break_even_bps"],
            skill=raw["skill"],
            days=raw["days"],
            least_days=float("inf") if least is None else least,
            luck=Luck.from_dict(raw["luck"]) if raw["luck"] else None,
        )

    def world_rows(self) -> list[dict[str, Any]]:
        """Return a record per world: what its account returned, and how."""
        return [
            {
                "world": name,
                "return": metrics.total_return,
                "sharpe": metrics.sharpe,
                "profit factor": metrics.profit_factor,
                "drawdown": metrics.max_drawdown,
                "trades": metrics.trades,
            }
            for name, metrics in self.worlds.items()
        ]

    def sentences(self) -> list[str]:
        """Return in words what a person should know before trusting the account."""
        said = [f"Nothing is left at {self.break_even_bps:.1f} bps a fill."]
        said.append(
            f"A Sharpe ratio above 0 has probability {self.skill:.3f} if nothing else was tried; "
            + (
                f"0.95 takes {self.least_days:.0f} days like these {self.days:.0f}."
                if self.least_days < float("inf")
                else "it lost."
            )
        )
        if self.luck is None:
            said.append("Too few trades to tell luck from skill.")
        else:
            low, high = self.luck.mean_trade
            _, middle, deep = self.luck.drawdown
            said.append(
                f"Drawn again, {self.luck.trades} trades earn {100 * low:+.3f} to "
                f"{100 * high:+.3f} % of the account each (90 %); trades that earn nothing look as "
                f"good with probability {self.luck.p_value:.3f}."
            )
            said.append(
                f"In another order they fall {100 * middle:.1f} % at their deepest, in one of "
                f"twenty {100 * deep:.1f} % or more."
            )
        return said


def scrutinize(
    trade: Trade,
    figures: Callable[[BacktestResult], Metrics],
    settings: TradingSettings,
    bar_ms: int,
) -> Scrutiny:
    """Ask what is left of an account; `trade` takes the same decisions through any world."""
    results = {one.name: trade(one) for one in WORLDS}
    plain = results[WORLDS[0].name]
    returns = bar_returns(plain.equity)
    bars_per_day = 86_400_000 / bar_ms
    found = record(returns)
    return Scrutiny(
        worlds={name: figures(result) for name, result in results.items()},
        break_even_bps=break_even_bps(trade, settings),
        skill=probabilistic(found, benchmark=0.0),
        days=found.bars / bars_per_day,
        least_days=least_bars(found, benchmark=0.0, confidence=CONFIDENCE) / bars_per_day,
        luck=luck(
            plain.trades["pnl"],
            returns,
            initial_equity=settings.initial_equity,
            bars_per_year=YEAR_MS / bar_ms,
            seed=SEED,
        ),
    )


def break_even_bps(trade: Trade, settings: TradingSettings) -> float:
    """Return the cost of a fill, in basis points of its notional, at which nothing is earned.

    Fee, half-spread and slippage grow together, funding stays as it was. 0 where nothing was earned
    even without costs; at most 64 times the costs assumed. Found by halving: a guard that trips
    makes the return jump, so it is one cost at which the account stops earning, not the only one.
    """
    assumed = settings.fee_bps + settings.half_spread_bps + settings.slippage_bps

    def earns(times: float) -> bool:
        world = World(f"{times:g} times the costs", fees=times, slippage=times)
        return float(trade(world).equity[-1]) > settings.initial_equity

    if not earns(0.0):
        return 0.0
    low = 0.0
    high = 1.0
    while earns(high):
        if high >= MOST_TIMES:
            return high * assumed
        low = high
        high *= 2.0
    while high - low > COST_STEP * high:
        middle = (low + high) / 2.0
        if earns(middle):
            low = middle
        else:
            high = middle
    return low * assumed
