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
from kernel.observation import Market, observe
from orchestration.cli.markdown import markdown_table
from orchestration.cli.recorded_markets import DATA, Recording, recordings
from orchestration.cli.sparkline import sparkline

BAR_MS = 900_000
COURSE_BARS = 14 * 96
CERTIFIED_BARS, CUTS, SEED = 2_000, 50, 7
COSTS = "features/costs.json"

Values = NDArray[np.float64]
Costs = dict[str, dict[str, float]]  # group → µs a bar, compiled and live


@dataclass(frozen=True, slots=True)
class Seen:
    """What one feature did on the recording that has most of its values."""

    title: str
    values: Values
    certificate: Certificate


def seen(found: Sequence[Recording]) -> dict[str, Seen]:
    """Return what each feature did on the recording in which it has most values."""
    best: dict[str, Seen] = {}
    for one in found:
        values, certificates = _computed(one.market)
        for i, name in enumerate(FEATURES):
            there = int(np.isfinite(values[:, i]).sum())
            if name not in best or there > np.isfinite(best[name].values).sum():
                best[name] = Seen(one.title, values[:, i], certificates[i])
    return best


def _computed(market: Market) -> tuple[Values, list[Certificate]]:
    """Return all features of a market, and their certificates on its last bars, state warm."""
    from research.garch import starting_state

    obs = observe(market, BAR_MS)
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
        "**Pictures.** Left the last 14 days, right the distribution over the whole recording, "
        "both from the 0.5th to the 99.5th percentile. Below them the 1st percentile, the median "
        "and the 99th, and the share of bars without a value.\n",
    ]
    for group in GROUPS:
        lines += _section(group, found, cost)
    return "\n".join(lines)


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
    titles = sorted({found[one.name].title for one in group.features if _there(found[one.name])})
    yield f"## {group.name}\n"
    yield (
        f"{len(group.features)} features · {own['compiled_us']:.3f} µs a bar compiled, "
        f"{own['live_us']:.0f} µs live · {group.state_size} numbers of state · "
        f"{'; '.join(titles) or 'not recorded'}\n"
    )
    header = ("feature", "on real data", "formula", "reads", "warm-up", "missing", "proof")
    yield markdown_table(
        header, [_row(feature(one.name), found[one.name]) for one in group.features]
    )


def _row(one: Feature, shown: Seen) -> tuple[str, ...]:
    there = shown.values[np.isfinite(shown.values)]
    picture = f"![{one.name}](features/{one.name}.svg)"
    absent = 1.0 - len(there) / len(shown.values)
    numbers = (
        " · ".join(f"{x:.3g}" for x in np.quantile(there, (0.01, 0.5, 0.99))) if len(there) else ""
    )
    proof = shown.certificate
    return (
        f"**`{one.name}`**<br>{one.unit}, {one.low:g} to {one.high:g}",
        f"{picture}<br>{numbers}<br>{absent:.1%} missing",
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
    """Return the inputs, the bar's minutes as one."""
    rest = [name for name in names if not name.startswith("minute_")]
    return [*rest, "minutes"] if len(rest) < len(names) else rest


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
