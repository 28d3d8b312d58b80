"""`docs/features.md`: every feature with its formula, its course on real data, proof and cost."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.features.certificate import Certificate, certify
from kernel.features.definition import Group
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, GROUPS, STATE_SIZE, WARMUP_BARS, Feature, feature
from kernel.observation import FUNDING_FIELDS, Market, observe
from orchestration.reference.markdown import markdown_table
from orchestration.reference.recorded_markets import DATA, Recording, recordings
from orchestration.reference.sparkline import sparkline

BAR_MS = 900_000
COURSE_BARS = 14 * 96
CERTIFIED_BARS = 2_000
CUTS = 50
SEED = 7
COSTS = "features/costs.json"
MISSING = """**Missing.** NaN means that there is no value; nothing is ever filled in. Before its \
warm-up bar a feature is NaN. From then on, by the column *missing*:

- *never*: it has a value at every bar.
- *nan*: NaN where an input is missing, or where the formula has no answer: it divides by nothing, \
or too little was traded.
- *absent*: NaN also where there is nothing to measure, such as the distance to a level where no \
level is, which a flag beside it tells.

A bar whose own prices or volume are unusable (missing, not finite, a price outside 1e-18 to \
1e18, a negative volume) gives a row of NaN, *never* included, and changes nothing: the state \
stays as it was, as if the bar did not exist.
"""
BARS = """**Bars** are counted as they exist: the last 96 bars are the last 96 that there are. A \
hole is neither filled nor counted, so that a window behind it reaches further back in time; what \
goes by the calendar (hours of four, days, weeks, settlements, sessions) goes by the clock. \
Training refuses such a history: an ingest that finds a candle missing between the symbol's first \
and its own clock fails the blocking check `candles_have_no_gaps` and stops before \
`features/matrix`, and a retrain takes no features whose bars are not those of the lake, one for \
one. The check covers the months of its ingest, and `features/matrix` of those months waits for it \
however it is launched; it does not see a month that was never ingested. Live, nothing is opened \
for a day after a bar that the venue does not have, or for as long as the hole was, up to the \
model's warm-up.
"""

Values = NDArray[np.float64]
Costs = dict[str, dict[str, float]]  # group → µs a bar, compiled and live


@dataclass(frozen=True, slots=True)
class Seen:
    """What one feature did on the recording that has most of its values.

    `beside` says whose its inputs are, if not of the market that the title names.
    """

    title: str
    beside: str
    values: Values
    certificate: Certificate


def seen(found: Sequence[Recording]) -> dict[str, Seen]:
    """Return what each feature did on the recording in which it has most values."""
    best: dict[str, Seen] = {}
    for one in found:
        values, certificates = _computed(one.market, one.bar_ms)
        for i, name in enumerate(FEATURES):
            there = int(np.isfinite(values[:, i]).sum())
            if one.shown and name not in one.shown:
                continue
            if name not in best or there > np.isfinite(best[name].values).sum():
                read = _inputs(feature(name).inputs)
                beside = "; ".join(text for field, text in one.beside.items() if field in read)
                best[name] = Seen(one.title, beside, values[:, i], certificates[i])
    return best


def _computed(market: Market, bar_ms: int) -> tuple[Values, list[Certificate]]:
    """Return all features of a market, and their certificates on its last bars, state warm."""
    from research.features.garch import starting_state

    obs = observe(market, bar_ms)
    start = starting_state(obs)
    values, _ = compute(obs, start)
    begin = max(0, len(obs) - CERTIFIED_BARS)
    _, warm = compute(obs[:begin], start)
    rng = np.random.default_rng(SEED)
    return values, certify(lambda rows: compute(rows, warm), obs[begin:], rng, CUTS)


def page(found: dict[str, Seen], cost: Costs) -> str:
    """Return the page: a section per group, a row per feature."""
    lines = [
        f"# The {len(FEATURES)} features\n",
        "Made by `make docs` from the registry, on recorded markets; do not edit. How to add one: "
        "[add-a-feature.md](add-a-feature.md).\n",
        _costs(cost),
        _proofs([one.certificate for one in found.values()]),
        _pictures(found),
        MISSING,
        BARS,
    ]
    for group in GROUPS:
        lines += _section(group, found, cost)
    return "\n".join(lines)


def _pictures(found: dict[str, Seen]) -> str:
    none = [f"`{name}`" for name, shown in found.items() if not _there(shown)]
    return (
        "**Pictures.** Left the last 14 days (of a shorter recording all of it), right the "
        "distribution over the whole recording, both from the 0.5th to the 99.5th percentile. "
        "Below them the 1st percentile, the median and the 99th, and the share of bars without a "
        "value. Trades and best quotes were recorded for hours and minutes only: their features "
        "are shown on bars of seconds, each of which stands for one of 15 minutes, so look at "
        "their course and not at their size. "
        f"Nothing was recorded for: {', '.join(none) or 'none'}.\n"
    )


def _costs(cost: Costs) -> str:
    compiled_us, live_us = (
        sum(one[key] for one in cost.values()) for key in ("compiled_us", "live_us")
    )
    return (
        f"**Cost**, one core, measured by `make bench`: {compiled_us:.2f} µs a bar compiled "
        f"over history, {live_us:.0f} µs a bar live in plain Python; the state is "
        f"{STATE_SIZE * 8 / 1024:.0f} KiB. The longest warm-up is {WARMUP_BARS:,} bars of 15 "
        "minutes.\n"
    )


def _proofs(certificates: Sequence[Certificate]) -> str:
    return (
        "**Proof.** On the recording shown, each feature was computed again with the future cut "
        f"off and with the future scrambled at {min(one.cuts for one in certificates)} bars or "
        f"more: {sum(2 * one.cuts for one in certificates):,} comparisons of all values before, "
        f"{sum(one.mismatches for one in certificates)} of which changed. A row says on how many "
        "values. What has none here is proved on generated markets by the tests, and week by week "
        "by the blocking checks of `features/certificate`.\n"
    )


def _section(group: Group, found: dict[str, Seen], cost: Costs) -> Iterator[str]:
    own = cost[group.name]
    there = [found[one.name] for one in group.features if _there(found[one.name])]
    titles = sorted({one.title for one in there})
    yield f"## {group.name}\n"
    yield (
        f"{len(group.features)} features · {own['compiled_us']:.3f} µs a bar compiled, "
        f"{own['live_us']:.0f} µs live · {group.state_size} numbers of state · "
        f"{'; '.join(titles) or 'not recorded'}\n"
    )
    header = ("feature", "on real data", "formula", "reads", "warm-up", "missing", "proof")
    yield markdown_table(
        header,
        [_row(feature(one.name), found[one.name], len(titles) > 1) for one in group.features],
    )


def _row(one: Feature, shown: Seen, titled: bool) -> tuple[str, ...]:
    """Return the cells of a feature; `titled` where its group is shown on several recordings."""
    there = shown.values[np.isfinite(shown.values)]
    picture = f"![{one.name}](features/{one.name}.svg)"
    absent = 1.0 - len(there) / len(shown.values)
    numbers = (
        " · ".join(f"{x:.3g}" for x in np.quantile(there, (0.01, 0.5, 0.99))) if len(there) else ""
    )
    whose = [shown.title if titled and len(there) else "", shown.beside]
    proof = shown.certificate
    return (
        f"**`{one.name}`**<br>{one.unit}, {one.low:g} to {one.high:g}",
        "<br>".join(text for text in (picture, numbers, f"{absent:.1%} missing", *whose) if text),
        f"{_plain(one.formula)}<br><i>{_plain(one.source)}</i>",
        ", ".join(f"`{name}`" for name in _inputs(one.inputs)),
        f"{one.warmup_bars:,}",
        one.missing,
        f"{proof.mismatches} of {proof.values:,}" if proof.values else "no values here",
    )


def _plain(text: str) -> str:
    """Return text in which Markdown sees no emphasis."""
    return text.replace("*", "\\*")


def _inputs(names: Sequence[str]) -> list[str]:
    """Return the inputs, the bar's minutes as one, and a day's settlements as one."""
    rest = dict.fromkeys(_series(name) for name in names if not name.startswith("minute_"))
    minutes = ["minutes"] if any(name.startswith("minute_") for name in names) else []
    return [*rest, *minutes]


def _series(name: str) -> str:
    """Return the series that a field of an observation is made of."""
    return "funding_rate" if name in FUNDING_FIELDS else name


def _there(shown: Seen) -> bool:
    return bool(np.isfinite(shown.values).any())


def files(docs: Path) -> dict[str, str]:
    """Return name → text of the page and its pictures in the folder `docs`.

    What each group costs is read from features/costs.json, which `make bench` writes. Without the
    recorded markets there is no page.
    """
    if not DATA.exists():
        return {}
    cost: Costs = json.loads((docs / COSTS).read_text(encoding="utf-8"))
    found = recordings(DATA)
    what = seen(found)
    pictures = {
        f"features/{name}.svg": sparkline(shown.values, COURSE_BARS) for name, shown in what.items()
    }
    return {"features.md": page(what, cost), **pictures}
