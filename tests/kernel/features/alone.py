"""One feature group by itself: the laws that each has to keep, and the runs that show it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.compiled import compiled
from kernel.features.bounds import NAN, usable
from kernel.features.certificate import certify
from kernel.features.definition import Group
from kernel.features.engine import fold_of, mark_usable
from kernel.observation import OBSERVATION_FIELDS
from tests.kernel.features.worlds import EXTREMES, damaged, differing_bytes, extreme, market

Values = NDArray[np.float64]


def batch(group: Group, obs: Values, state: Values | None = None) -> tuple[Values, Values]:
    """Return the compiled features float64[n, F] of one group, and the state after the last bar."""
    after = np.zeros(group.state_size) if state is None else state.copy()
    rows = np.require(obs, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])
    fit = np.empty(len(rows), dtype=np.bool_)
    assert compiled(mark_usable)(rows, -1.0, fit) == -1
    out = np.empty((len(rows), len(group.features)))
    compiled(fold_of(group.step))(after, rows, fit, out, 0, len(group.features))
    return out, after


def stream(group: Group, obs: Values, state: Values | None = None) -> tuple[Values, Values]:
    """Return the same from plain Python on lists, bar by bar."""
    after = [0.0] * group.state_size if state is None else state.tolist()
    rows: list[list[float]] = []
    for row in obs.tolist():
        out = [NAN] * len(group.features)
        if usable(row):
            group.step(after, row, out)
        rows.append(out)
    return np.array(rows).reshape(len(obs), len(group.features)), np.array(after)


def column(group: Group, values: Values, name: str) -> Values:
    """Return one feature's column of `batch` or `stream`."""
    return values[:, [one.name for one in group.features].index(name)]


def check_parity(group: Group, bars: int = 700, state: Values | None = None) -> None:
    """Batch = stream = any chunking, to the byte, over ordinary, damaged and extreme worlds."""

    @settings(max_examples=12, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        price=st.sampled_from((1e-12, 1e-3, 30_000.0, 1e12)),
        cut=st.floats(0.0, 1.0),
        damage=st.booleans(),
    )
    def holds(seed: int, price: float, cut: float, damage: bool) -> None:
        obs = market(bars, seed, price=price)
        if damage:
            obs = damaged(obs, np.random.default_rng(seed))
        _same_bytes(group, obs, int(cut * len(obs)), state)

    holds()
    for kind in EXTREMES:
        _same_bytes(group, extreme(kind, bars), bars // 3, state)


def _same_bytes(group: Group, obs: Values, cut: int, start: Values | None) -> None:
    whole, last = batch(group, obs, start)
    live, live_state = stream(group, obs, start)
    assert differing_bytes(whole, live) == differing_bytes(last, live_state) == 0
    first, state = batch(group, obs[:cut], start)
    second, state = stream(group, obs[cut:], state)
    assert differing_bytes(np.concatenate([first, second]), whole) == 0
    assert differing_bytes(state, last) == 0


def check_extremes(group: Group, bars: int, state: Values | None = None) -> None:
    """Extreme worlds give values within the stated range or NaN by policy; the state is finite."""
    for kind in EXTREMES:
        values, after = batch(group, extreme(kind, bars), state)
        assert np.isfinite(after).all(), kind
        for i, row in enumerate(group.features):
            found = values[:, i]
            real = found[~np.isnan(found)]
            assert np.isfinite(real).all(), (kind, row.name)
            assert ((real >= row.low) & (real <= row.high)).all(), (kind, row.name)
            if row.missing == "never":
                assert len(real) == bars - row.warmup_bars + 1, (kind, row.name)


def check_warm_up(group: Group, state: Values | None = None) -> None:
    """A feature is NaN before its warm-up bar and has a value from it on, on a gapless market.

    A history that begins within a day or a week is warm no later.
    """
    longest = max(row.warmup_bars for row in group.features)
    obs = market(longest + 200, seed=51)
    values, _ = batch(group, obs, state)
    for i, row in enumerate(group.features):
        assert np.isnan(values[: row.warmup_bars - 1, i]).all(), row.name
        assert np.isfinite(values[row.warmup_bars - 1 :, i]).all(), row.name
    for offset in (1, 17, 95):
        later, _ = batch(group, obs[offset:], state)
        for i, row in enumerate(group.features):
            assert np.isfinite(later[row.warmup_bars - 1 :, i]).all(), (row.name, offset)


def check_inputs(group: Group, state: Values | None = None, bars: int = 300) -> None:
    """A feature reads its inputs and nothing else: others change no byte, its own change some.

    Nor do others that are missing, the bar's own prices and volume excepted, without which no
    feature has a value: what decides whether an input counts is an input too.
    """
    longest = max(row.warmup_bars for row in group.features)
    obs = market(longest + bars, seed=53)
    other = market(longest + bars, seed=54)
    expected, _ = batch(group, obs, state)
    for i, row in enumerate(group.features):
        own = [OBSERVATION_FIELDS.index(field) for field in row.inputs]
        rest = [field for field in range(1, len(OBSERVATION_FIELDS)) if field not in own]
        changed = obs.copy()
        changed[:, rest] = other[:, rest]
        found, _ = batch(group, changed, state)
        assert differing_bytes(found[:, i], expected[:, i]) == 0, row.name
        without = obs.copy()
        without[longest:, [field for field in rest if field >= 6]] = np.nan
        found, _ = batch(group, without, state)
        assert differing_bytes(found[:, i], expected[:, i]) == 0, (
            f"{row.name} reads what is missing"
        )
        moved = obs.copy()
        moved[:, own] = other[:, own] if own != [0] else other[:, own] + 30 * 3_600_000
        if row.name.endswith("_missing"):
            moved[-100:, own] = np.nan
        found, _ = batch(group, moved, state)
        assert differing_bytes(found[:, i], expected[:, i]) > 0, row.name


def check_certificates(
    group: Group, state: Values | None = None, cuts: int = 100, bars: int = 1_500
) -> None:
    """No past value changes when the future is cut off or scrambled; a bar of look-ahead is red."""
    longest = max(row.warmup_bars for row in group.features)
    obs = market(longest + bars, seed=55)
    _, warm = batch(group, obs[:longest], state)
    absent = np.random.default_rng(55).random((len(obs), 1)) < 0.05
    obs[:, 6:] = np.where(absent, np.nan, obs[:, 6:])
    names = [row.name for row in group.features]

    def honest(rows: Values) -> tuple[Values, Values]:
        return batch(group, rows, warm)

    def ahead(rows: Values) -> tuple[Values, Values]:
        values, last = batch(group, rows, warm)
        values[:-1] = values[1:]
        return values, last

    rng = np.random.default_rng(1)
    for one in certify(honest, obs[longest:], rng, cuts, names):
        assert one.mismatches == 0, one
        assert one.values > 0, one
    red = [one.feature for one in certify(ahead, obs[longest:], rng, bars, names) if one.mismatches]
    assert red == names


def check_laws(group: Group, state: Values | None = None) -> None:
    """Run every law on one group."""
    longest = max(row.warmup_bars for row in group.features)
    check_parity(group, state=state)
    check_extremes(group, longest + 200, state)
    check_warm_up(group, state)
    check_inputs(group, state)
    check_certificates(group, state)
