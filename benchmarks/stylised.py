"""Stylised facts of the generated market beside those of real Bitcoin.

Run: python -m benchmarks.stylised; with --write it also renews the table and figure of
docs/markets.md. The real series is read in place where it is there. Facts after Cont (2001),
"Empirical properties of asset returns"; tail index after Hill (1975).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from replay_venue.market.generator import generate
from replay_venue.market.recorded import RecordedSource

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "markets.md"
FIGURE = ROOT / "docs" / "images" / "stylised_facts.png"
START_MS = 1_672_531_200_000  # 2023-01-01
END_MS = 1_767_225_600_000  # 2026-01-01
SEED = 7
EDGE = 0.12
WITH_EDGE = f"BTC, edge {EDGE}"
LAGS = 100
TAIL = 0.01  # share of the bars that are the tail
_DAY_BARS = 96
_BEGIN = "<!-- measured: begin -->"
_END = "<!-- measured: end -->"


@dataclass(frozen=True, slots=True)
class Facts:
    """The stylised facts of one series of 15m bars; `autocorrelation` arrays are of lags 1 …."""

    bars: int
    spread: float
    kurtosis: float
    daily_kurtosis: float
    left_tail: float
    right_tail: float
    of_returns: NDArray[np.float64]
    of_sizes: NDArray[np.float64]
    leverage: float
    volume_size: float
    by_hour: NDArray[np.float64]


ROWS: Mapping[str, tuple[str, str]] = {
    "bars": ("15m bars", "{:,}"),
    "spread": ("standard deviation of a return, %", "{:.3f}"),
    "kurtosis": ("excess kurtosis, 15m", "{:.1f}"),
    "daily_kurtosis": ("excess kurtosis, 1d", "{:.1f}"),
    "left_tail": ("Hill tail index of losses (1 % of bars)", "{:.2f}"),
    "right_tail": ("Hill tail index of gains (1 % of bars)", "{:.2f}"),
    "linear 1": ("autocorrelation of returns, lag 1", "{:+.3f}"),
    "linear max": ("… largest of lags 1 to 20, absolute", "{:.3f}"),
    "size 1": ("autocorrelation of absolute returns, lag 1", "{:.2f}"),
    "size 10": ("… lag 10 (2.5 h)", "{:.2f}"),
    "size 48": ("… lag 48 (12 h)", "{:.2f}"),
    "size 96": ("… lag 96 (1 day)", "{:.2f}"),
    "size mean": ("… mean of lags 1 to 100", "{:.2f}"),
    "leverage": ("leverage: return with the next day's mean square", "{:+.3f}"),
    "volume_size": ("log volume with absolute return (rank)", "{:.2f}"),
    "season": ("busiest over quietest hour, mean absolute return", "{:.2f}"),
}


def measure(bars: Bars) -> Facts:
    """Return the facts of complete 15m bars; steps over a missing bar are left out."""
    from scipy import stats

    close = np.log(bars.close)
    joined = np.diff(bars.open_time_ms) == 900_000
    returns = np.diff(close)[joined]
    size = np.abs(returns)
    volume = bars.volume[1:][joined]
    hour = bars.open_time_ms[1:][joined] // 3_600_000 % 24
    by_hour = np.array([size[hour == one].mean() for one in range(24)])
    traded = volume > 0
    following = np.convolve(returns**2, np.full(_DAY_BARS, 1 / _DAY_BARS), "valid")[1:]
    return Facts(
        bars=len(bars),
        spread=100.0 * float(returns.std()),
        kurtosis=float(stats.kurtosis(returns)),
        daily_kurtosis=float(stats.kurtosis(np.diff(close[::_DAY_BARS]))),
        left_tail=hill(-returns, TAIL),
        right_tail=hill(returns, TAIL),
        of_returns=autocorrelation(returns, 20),
        of_sizes=autocorrelation(size, LAGS),
        leverage=float(np.corrcoef(returns[: len(following)], following)[0, 1]),
        volume_size=float(
            np.corrcoef(stats.rankdata(volume[traded]), stats.rankdata(size[traded]))[0, 1]
        ),
        by_hour=by_hour / by_hour.mean(),
    )


def hill(values: NDArray[np.float64], share: float) -> float:
    """Return the tail index of the largest `share` of the values."""
    tail = np.sort(values)[-max(int(share * len(values)), 2) :]
    return float(1.0 / np.log(tail[1:] / tail[0]).mean())


def autocorrelation(values: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Return the autocorrelation at lags 1 … `lags`."""
    deviations = values - values.mean()
    total = (deviations**2).sum()
    return np.array(
        [(deviations[lag:] * deviations[:-lag]).sum() for lag in range(1, lags + 1)]
    ) / (total)


def numbers(facts: Facts) -> dict[str, float]:
    """Return the facts by the names of `ROWS`."""
    plain = {
        field.name: getattr(facts, field.name) for field in fields(Facts) if field.name in ROWS
    }
    return plain | {
        "linear 1": float(facts.of_returns[0]),
        "linear max": float(np.abs(facts.of_returns).max()),
        **{f"size {lag}": float(facts.of_sizes[lag - 1]) for lag in (1, 10, 48, 96)},
        "size mean": float(facts.of_sizes.mean()),
        "season": float(facts.by_hour.max() / facts.by_hour.min()),
    }


def series() -> dict[str, Bars]:
    """Return the bars compared, by name; the real ones only where they are recorded."""
    worlds = {
        "generated BTC": ("BTCUSDT", 0.0),
        "generated ETH": ("ETHUSDT", 0.0),
        WITH_EDGE: ("BTCUSDT", EDGE),
    }
    found = {
        name: generate(
            seed=SEED, symbol=symbol, edge=edge, start_ms=START_MS, end_ms=END_MS, timeframe="15m"
        ).bars
        for name, (symbol, edge) in worlds.items()
    }
    if RECORDED.is_dir():
        source = RecordedSource(RECORDED, ("BTCUSDT",), "okx-swap")
        found["real BTC"] = source.bars("BTCUSDT", "15m", START_MS, END_MS)
    return found


def table(measured: Mapping[str, Facts]) -> str:
    """Return the facts as a Markdown table."""
    by_name = {name: numbers(facts) for name, facts in measured.items()}
    lines = [f"| | {' | '.join(by_name)} |", f"|---|{'---:|' * len(by_name)}"]
    for key, (text, style) in ROWS.items():
        cells = " | ".join(style.format(found[key]) for found in by_name.values())
        lines.append(f"| {text} | {cells} |")
    return "\n".join(lines)


def draw(bars: Mapping[str, Bars], measured: Mapping[str, Facts], path: Path) -> None:
    """Draw tails, clustering, linear memory and the day's shape, one line a series."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 6.4), layout="constrained")
        (tails, sizes), (linear, day) = figure.subplots(2, 2)
        shown = {name: facts for name, facts in measured.items() if name != WITH_EDGE}
        for (name, facts), colour in zip(shown.items(), ("C0", "C1", "#222222"), strict=False):
            look = {"color": colour, "label": name, "lw": 1.6 if name.startswith("real") else 1.2}
            returns = np.sort(np.abs(np.diff(np.log(bars[name].close))))
            share = 1.0 - np.arange(len(returns)) / len(returns)
            tails.loglog(returns / returns.std(), share, **look)
            sizes.plot(np.arange(1, LAGS + 1), facts.of_sizes, **look)
            linear.plot(np.arange(1, 21), facts.of_returns, marker=".", **look)
            day.plot(np.arange(24), facts.by_hour, **look)
        band = 1.96 / np.sqrt(min(facts.bars for facts in shown.values()))
        linear.axhspan(-band, band, color="0.9", zorder=0)
        tails.set(
            title="Fat tails", xlabel="|return| / standard deviation", ylabel="share of bars beyond"
        )
        tails.set_xlim(0.3, 60)
        sizes.set(title="Volatility clusters", xlabel="lag, 15m bars", ylabel="autocorrelation")
        sizes.set_ylim(0, None)
        linear.set(title="Returns have no memory", xlabel="lag, 15m bars", ylabel="autocorrelation")
        linear.set_ylim(-0.1, 0.1)
        linear.set_xticks([1, 5, 10, 15, 20])
        day.set(title="The day has a shape", xlabel="hour, UTC", ylabel="mean |return| / day's")
        tails.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def renewed(page: str, content: str) -> str:
    """Return the page with what stands between its marks replaced."""
    before, found, rest = page.partition(_BEGIN)
    _, closed, after = rest.partition(_END)
    if not (found and closed):
        raise ValueError(f"{PAGE.name}: found no {_BEGIN} … {_END}, expected both marks")
    return f"{before}{_BEGIN}\n{content}\n{_END}{after}"


def main(*, write: bool = False) -> None:
    """Print the facts; with `write`, renew page and figure, which needs the real series."""
    bars = series()
    measured = {name: measure(one) for name, one in bars.items()}
    print(table(measured))
    if not RECORDED.is_dir():
        print(f"real BTC is left out: {RECORDED.name} is not on this machine")
    if write:
        if "real BTC" not in measured:
            raise SystemExit("--write needs the recorded series in ../shared/data")
        draw(bars, measured, FIGURE)
        PAGE.write_text(renewed(PAGE.read_text(), table(measured)))


if __name__ == "__main__":
    main(write="--write" in sys.argv[1:])
