"""Features of book and trades: the laws, the papers' formulas written another way, and examples."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features.bounds import usable
from kernel.features.microstructure import GROUP
from kernel.observation import OBSERVATION_FIELDS
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone
from tests.kernel.features.worlds import damaged, extreme, market

Values = NDArray[np.float64]
BARS = 3_600
WINDOW = 96
RECORDED = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
TRADES = ["trade_count", "buy_volume", "sell_volume", "sign_sum", "sign_pair_sum"]
QUOTES = ["best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity"]


def test_microstructure_batch_is_stream_and_any_chunking() -> None:
    """Compiled, plain and cut anywhere, every byte is the same."""
    alone.check_parity(GROUP)


def test_microstructure_is_finite_or_nan_in_extreme_worlds() -> None:
    """No extreme world raises, leaves the stated range or makes the state infinite."""
    alone.check_extremes(GROUP, 500)


def test_microstructure_warms_up_at_the_stated_bar() -> None:
    """A feature is NaN before its warm-up bar and has a value from it on."""
    alone.check_warm_up(GROUP)


def test_microstructure_reads_its_inputs_and_nothing_else() -> None:
    """Other fields of the observation change no byte, its own change some."""
    alone.check_inputs(GROUP)


def test_microstructure_never_sees_the_future() -> None:
    """No past value changes when the future is cut off or scrambled."""
    alone.check_certificates(GROUP)


def feature(name: str, obs: Values) -> Values:
    return alone.column(GROUP, alone.batch(GROUP, obs)[0], name)


def frame_of(obs: Values) -> pd.DataFrame:
    return pd.DataFrame(obs, columns=list(OBSERVATION_FIELDS))


def over_recorded(
    present: pd.Series, values: pd.DataFrame, formula: Callable[[pd.DataFrame], pd.Series]
) -> pd.Series:
    """Return the formula over the rows that are present, anew after a window of rows that are not.

    NaN where a row is not present.
    """
    rows = np.flatnonzero(present)
    chapter = (np.diff(rows, prepend=rows[0]) > WINDOW).cumsum()
    parts = [formula(part) for _, part in values[present].groupby(chapter)]
    return pd.concat(parts).reindex(values.index)


def imbalance(frame: pd.DataFrame, kind: str) -> pd.Series:
    bid = frame[kind.format("bid")]
    ask = frame[kind.format("ask")]
    return 2.0 * bid / (bid + ask) - 1.0


def microprice_drift(frame: pd.DataFrame) -> pd.Series:
    bid, ask, bid_quantity, ask_quantity = (frame[name] for name in QUOTES)
    micro = (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity)
    return micro / (0.5 * (bid + ask)) - 1.0


def order_flow_imbalance(frame: pd.DataFrame) -> pd.Series:
    size = frame[QUOTES[2:]].mean(axis=1)
    return over_recorded(
        frame[QUOTES].notna().all(axis=1),
        pd.DataFrame({"size": size, "flow": frame["order_flow"]}),
        lambda part: part["flow"] / part["size"].rolling(WINDOW).mean(),
    )


def kyle_lambda(frame: pd.DataFrame) -> pd.Series:
    moved = (frame["close"] - frame["open"]) / frame["open"]
    signed = (frame["buy_volume"] - frame["sell_volume"]) * frame["close"] / 1e6
    return over_recorded(
        frame["buy_volume"].notna(),
        pd.DataFrame({"x": signed, "y": moved}),
        lambda part: part["y"].rolling(WINDOW).cov(part["x"]) / part["x"].rolling(WINDOW).var(),
    )


def trade_sign_autocorrelation(frame: pd.DataFrame) -> pd.Series:
    def formula(part: pd.DataFrame) -> pd.Series:
        sums = part.rolling(WINDOW).sum()
        squared = (sums["sign_sum"] / sums["trade_count"]) ** 2
        pairs = sums["sign_pair_sum"] / (sums["trade_count"] - WINDOW)
        return (pairs - squared) / (1.0 - squared)

    counts = frame[["trade_count", "sign_sum", "sign_pair_sum"]]
    return over_recorded(counts.notna().all(axis=1), counts, formula)


def amihud(frame: pd.DataFrame) -> pd.Series:
    turnover = (frame["close"] * frame["volume"] / 1e6).where(frame["volume"] > 0.0)
    impact = frame["close"].pct_change().abs() / turnover
    return impact.rolling(WINDOW, min_periods=1).mean().where(np.arange(len(frame)) >= WINDOW)


def bucket_sizes(volume: pd.Series) -> Values:
    """Return V after each bar: 1/50 of the average day seen, exponential after 30 days."""
    month = volume.iloc[:2_880]
    rest = pd.concat([pd.Series([month.mean()]), volume.iloc[2_880:]])
    average = [month.expanding().mean(), rest.ewm(alpha=1.0 / 2_880, adjust=False).mean()[1:]]
    return 96.0 / 50.0 * np.concatenate(average)


def full_buckets(volume: Values) -> Values:
    """Return how many buckets are full after each bar, cut from the cumulative volume."""
    filled = np.cumsum(np.where(np.arange(len(volume)) < WINDOW - 1, 0.0, volume))
    size = bucket_sizes(pd.Series(volume))
    edges = [0.0]
    bar = WINDOW - 1
    while edges[-1] + size[bar] <= filled[-1]:
        edges.append(edges[-1] + size[bar])
        bar = int(np.searchsorted(filled, edges[-1]))
    return np.searchsorted(edges, filled, side="right") - 1


def vpin(frame: pd.DataFrame) -> pd.Series:
    """Return VPIN from bucket edges on the cumulative volume, the flow between them interpolated.

    The other way around than the feature, which walks from bar to bar.
    """
    sides = frame[["buy_volume", "sell_volume"]].fillna(0.0)
    sides.iloc[: WINDOW - 1] = 0.0
    traded = sides.sum(axis=1).cumsum().to_numpy()
    signed = (sides["buy_volume"] - sides["sell_volume"]).cumsum().to_numpy()
    size = bucket_sizes(frame["volume"])
    edges = [0.0]
    bar = WINDOW - 1
    while edges[-1] + size[bar] < traded[-1]:
        edges.append(edges[-1] + size[bar])
        bar = int(np.searchsorted(traded, edges[-1]))
    flow = np.interp(edges, traded, signed)
    one_sided = pd.Series(np.abs(np.diff(flow)) / np.diff(edges)).rolling(50).mean()
    last = np.searchsorted(edges, traded, side="right") - 2
    found = np.where(last >= 0, one_sided.to_numpy()[np.maximum(last, 0)], np.nan)
    warm = (np.arange(len(frame)) >= 479) & frame["buy_volume"].notna()
    return pd.Series(found, index=frame.index).where(warm)


ORACLES: dict[str, tuple[Callable[[pd.DataFrame], pd.Series], float]] = {  # and absolute tolerance
    "book_imbalance": (lambda frame: imbalance(frame, "best_{}_quantity"), 1e-14),
    "book_imbalance_100": (lambda frame: imbalance(frame, "{}_quantity_100"), 1e-14),
    "spread_bps": (
        lambda frame: 2e4 * (frame.best_ask - frame.best_bid) / (frame.best_ask + frame.best_bid),
        1e-10,
    ),
    "microprice_drift": (microprice_drift, 1e-14),
    "order_flow_imbalance": (order_flow_imbalance, 1e-10),
    "vpin": (vpin, 1e-10),
    "kyle_lambda": (kyle_lambda, 1e-12),
    "trade_sign_autocorrelation": (trade_sign_autocorrelation, 1e-12),
    "amihud": (amihud, 1e-12),
    "book_missing": (lambda frame: frame[QUOTES].isna().any(axis=1).astype(float), 0.0),
    "trades_missing": (lambda frame: frame[TRADES].isna().any(axis=1).astype(float), 0.0),
}


@pytest.fixture(scope="module", params=["whole", "with holes", "recorder off"])
def obs(request: pytest.FixtureRequest) -> Values:
    """Return a market; with bars, books and trades missing; or recorded anew after 120 bars."""
    world = market(BARS, seed=31)
    world[700:703, 5] = 0.0
    world[700:703, 18:23] = np.nan
    if request.param == "with holes":
        world = damaged(world, np.random.default_rng(7))
        return world[[usable(row) for row in world.tolist()]]
    if request.param == "recorder off":
        world[1_500:1_620, 18:30] = np.nan
    return world


def test_every_microstructure_feature_has_an_oracle() -> None:
    """No feature goes unchecked."""
    assert list(ORACLES) == [row.name for row in GROUP.features]


@pytest.mark.parametrize("name", [name for name in ORACLES if name != "vpin"])
def test_microstructure_equals_pandas(name: str, obs: Values) -> None:
    """A feature equals its formula in pandas, NaN for NaN, also across holes."""
    formula, tolerance = ORACLES[name]
    expected = formula(frame_of(obs)).to_numpy(np.float64)
    assert np.isfinite(expected).sum() > 1_000
    np.testing.assert_allclose(feature(name, obs), expected, rtol=0.0, atol=tolerance)


def test_vpin_equals_buckets_cut_from_cumulative_volume() -> None:
    """Edges on the cumulative volume and interpolated flow give the same, also across holes."""
    formula, tolerance = ORACLES["vpin"]
    world = market(BARS, seed=32)
    for first in (400, 1_000, 3_000):
        world[first : first + 90, 18:23] = np.nan
    expected = formula(frame_of(world)).to_numpy(np.float64)
    assert np.isfinite(expected).sum() > 2_900
    np.testing.assert_allclose(feature("vpin", world), expected, rtol=0.0, atol=tolerance)


def sided(bought: Values, sold: Values) -> Values:
    """Return observations whose volume is what was bought and sold."""
    world = market(len(bought), seed=33)
    world[:, 5] = bought + sold
    world[:, 19] = bought
    world[:, 20] = sold
    return world


def test_vpin_is_that_of_the_published_algorithm() -> None:
    """Easley, Lopez de Prado & O'Hara's own procedure by single units of volume gives the same.

    Their appendix repeats each bar, wholly bought or sold, once per unit of volume, cuts the units
    into groups of V and averages |buys - sells| / V over n groups (algorithm in The Microstructure
    of the Flash Crash, 2011, reprinted by Andersen & Bondarenko, 2013).
    """
    side = np.random.default_rng(9).choice((-1.0, 1.0), 1_000)
    found = feature("vpin", sided(50.0 * (side > 0.0), 50.0 * (side < 0.0)))
    units = np.repeat(side[WINDOW - 1 :], 50)  # bars of 50 units: V = 96 * 50 / 50 = 96
    groups = units[: len(units) // 96 * 96].reshape(-1, 96)
    expected = pd.Series(np.abs(groups.sum(axis=1)) / 96.0).rolling(50).mean().to_numpy()
    for bar in range(479, 1_000):
        full = 50 * (bar - WINDOW + 2) // 96
        assert found[bar] == pytest.approx(expected[full - 1], rel=1e-12), bar


@pytest.mark.parametrize(("informed", "uninformed"), [(3.0, 1.0), (20.0, 1.0), (0.0, 1.0)])
def test_vpin_is_the_papers_probability_of_informed_trading(
    informed: float, uninformed: float
) -> None:
    """Where news comes in every fourth bar it is a u / (a u + 2 e), as the 2012 paper states.

    a = 1/4 is the share of bars with news, u what the informed then buy, e what all others buy and
    sell in each bar. Tolerance 2 %: the average day is measured on what was seen so far.
    """
    news = np.arange(960) % 4 == 0
    found = feature("vpin", sided(uninformed + informed * news, np.full(960, uninformed)))
    expected = 0.25 * informed / (0.25 * informed + 2.0 * uninformed)
    np.testing.assert_allclose(found[480:], expected, rtol=0.02, atol=1e-15)


def test_vpin_is_one_where_all_buy_and_zero_where_sides_are_even() -> None:
    """The two ends of its range are reached exactly."""
    volume = np.random.default_rng(3).gamma(2.0, 50.0, 600)
    assert feature("vpin", sided(volume, 0.0 * volume))[-1] == pytest.approx(1.0, abs=1e-12)
    assert feature("vpin", sided(volume, volume))[-1] == 0.0


def test_vpin_of_a_giant_bar_is_its_own_imbalance() -> None:
    """A bar of fifty buckets and more leaves no other bucket in the window."""
    bought = np.full(600, 5.0)
    sold = np.full(600, 5.0)
    bought[550] = 7_500.0
    sold[550] = 2_500.0
    assert feature("vpin", sided(bought, sold))[550] == 0.5


def test_vpin_starts_anew_after_a_day_without_trades() -> None:
    """A bar short of a day keeps the buckets, a day of them empties them."""
    for silence, known in ((95, True), (96, False)):
        world = market(900, seed=34)
        world[600 : 600 + silence, 18:23] = np.nan
        found = feature("vpin", world)
        assert np.isnan(found[600 : 600 + silence]).all()
        assert np.isfinite(found[600 + silence]) == known
        assert np.isfinite(found[600 + silence + 150 :]).all()


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no recorded market at {RECORDED}")
@pytest.mark.parametrize("every_bars", [16 * 24, pytest.param(24, marks=pytest.mark.slow)])
def test_vpin_is_warm_wherever_a_recorded_history_begins(every_bars: int) -> None:
    """Of the histories begun every four days of three real years (slow: every six hours, 4,384 of
    them) each has its first value at the stated bar and one at every bar of the day after it.
    """
    bars = pd.read_parquet(RECORDED, columns=["volume"])["volume"].to_numpy(np.float64)
    warm = next(row.warmup_bars for row in GROUP.features if row.name == "vpin")
    for first in range(0, len(bars) - warm - WINDOW, every_bars):
        volume = bars[first : first + warm + WINDOW]
        assert full_buckets(volume)[warm - 1] >= 50, first


def test_vpin_waits_for_volume_and_not_for_bars() -> None:
    """A history that begins with a busy week and then ebbs has 50 full buckets late: NaN till then.

    Buckets of 96 / 50 of the average bar seen take the volume of a day, however long it lasts.
    """
    volume = np.r_[np.full(96, 100.0), np.full(1_200, 5.0)]
    found = feature("vpin", sided(0.75 * volume, 0.25 * volume))
    first = int(np.flatnonzero(np.isfinite(found))[0])
    assert first > 480
    assert first == np.flatnonzero(full_buckets(volume) >= 50)[0]
    assert np.isfinite(found[first:]).all()
    assert found[-1] == pytest.approx(0.5, rel=1e-12)


def test_vpin_depends_on_where_the_history_begins() -> None:
    """A bar less of history shifts every edge of a bucket, and 3,000 bars later the value is still
    another one, by a fifth to a half of its standard deviation on average.
    """
    world = market(4_000, seed=41)
    longer = feature("vpin", world)[-1_000:]
    shorter = feature("vpin", world[1:])[-1_000:]
    assert 0.2 < np.abs(longer - shorter).mean() / longer.std() < 0.5


def test_kyle_lambda_finds_a_planted_impact() -> None:
    """Where a million net bought moves price by 0.2 % it is 0.002, and 0 where nothing moves."""
    world = market(300, seed=35)
    signed = (world[:, 19] - world[:, 20]) * world[:, 4] / 1e6
    world[:, 1] = world[:, 4] / (1.0 + 0.002 * signed + 1e-4)
    np.testing.assert_allclose(feature("kyle_lambda", world)[95:], 0.002, rtol=1e-8)
    world[:, 1] = world[:, 4]
    assert (feature("kyle_lambda", world)[95:] == 0.0).all()


def test_kyle_lambda_is_missing_where_signed_volume_never_varies() -> None:
    """A slope on a constant is none."""
    world = market(200, seed=36)
    world[:, 4] = 100.0
    world[:, 19] = 6.0
    world[:, 20] = 5.0
    assert np.isnan(feature("kyle_lambda", world)).all()


@pytest.mark.parametrize("stays", [0.5, 0.8, 0.3])
def test_trade_sign_autocorrelation_is_that_of_the_chain(stays: float) -> None:
    """Signs that stay with probability p are correlated by 2 p - 1 (400 trades a bar: +-0.02)."""
    flips = np.random.default_rng(5).random((150, 400)) > stays
    signs = np.cumprod(np.where(flips, -1.0, 1.0), axis=1)
    world = market(150, seed=37)
    world[:, 18], world[:, 21] = 400.0, signs.sum(axis=1)
    world[:, 22] = (signs[:, 1:] * signs[:, :-1]).sum(axis=1)
    found = feature("trade_sign_autocorrelation", world)[95:]
    np.testing.assert_allclose(found, 2.0 * stays - 1.0, atol=0.02)
    assert found[-1] == pytest.approx(
        np.corrcoef(signs[-96:, 1:].ravel(), signs[-96:, :-1].ravel())[0, 1], abs=2e-3
    )


def test_microprice_leans_to_the_thinner_side() -> None:
    """9 bid and 3 offered at 100 and 102: the weighted mid is 101.5, the mid 101."""
    world = market(1, seed=38)
    world[0, 23:27] = (100.0, 102.0, 9.0, 3.0)
    assert feature("microprice_drift", world)[0] == pytest.approx(101.5 / 101.0 - 1.0, abs=1e-15)
    assert feature("book_imbalance", world)[0] == 0.5
    assert feature("spread_bps", world)[0] == pytest.approx(2e4 / 101.0, rel=1e-15)


def test_order_flow_imbalance_is_counted_in_best_quotes() -> None:
    """Order flow of 30 on quotes that average 10 is 3; it is held within 10^5."""
    world = market(97, seed=39)
    world[:, 25] = 12.0
    world[:, 26] = 8.0
    world[:, 29] = 30.0
    assert feature("order_flow_imbalance", world)[95] == 3.0
    world[95:, 29] = (-1e9, 1e9)
    assert feature("order_flow_imbalance", world)[95:].tolist() == [-100_000.0, 100_000.0]


@pytest.mark.parametrize(
    "quotes",
    [(101.0, 100.0, 1.0, 1.0), (100.0, 101.0, 0.0, 0.0), (0.0, 101.0, 1.0, 1.0)],
    ids=["crossed", "empty", "without a bid"],
)
def test_what_is_no_book_is_missing(quotes: tuple[float, ...]) -> None:
    """A crossed, empty or one-sided book is flagged, and nothing is made of it."""
    world = market(200, seed=40)
    world[150:, 23:27] = quotes
    assert (feature("book_missing", world) == [0.0] * 150 + [1.0] * 50).all()
    for name in ("microprice_drift", "order_flow_imbalance"):
        assert np.isnan(feature(name, world)[150:]).all()


def test_flags_say_that_nothing_was_recorded() -> None:
    """Without a recorder every feature but Amihud's is NaN and the flags are 1, never 0."""
    values, _ = alone.batch(GROUP, extreme("no series", 500))
    for i, row in enumerate(GROUP.features):
        if row.name.endswith("_missing"):
            assert (values[:, i] == 1.0).all()
        elif row.name != "amihud":
            assert np.isnan(values[:, i]).all()
    assert np.isfinite(values[96:, 8]).all()


@pytest.mark.parametrize("kind", ["huge series", "tiny series", "infinite series", "no volume"])
def test_what_cannot_be_trades_or_a_book_is_missing_and_never_zero(kind: str) -> None:
    """Absurd sums, and trades of bars without volume, are flagged; what rests on them is NaN."""
    values, _ = alone.batch(GROUP, extreme(kind, 400))
    names = [row.name for row in GROUP.features]
    gone = {name for name, column in zip(names, values.T, strict=True) if np.isnan(column).all()}
    trades = {"vpin", "kyle_lambda", "trade_sign_autocorrelation"}
    book = {"microprice_drift", "order_flow_imbalance"}
    assert (values[:, names.index("trades_missing")] == 1.0).all()
    assert (values[:, names.index("book_missing")] == float(kind != "no volume")).all()
    assert gone >= (trades if kind == "no volume" else trades | book)
