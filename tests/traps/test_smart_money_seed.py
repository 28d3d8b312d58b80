"""The leak certificate tells the roadmap's smart-money features from ours."""

import numpy as np

from kernel.features.certificate import Certificate, certify
from kernel.features.smart_money import GROUP, WARMUP
from tests.kernel.features import alone
from tests.kernel.features.worlds import market
from tests.traps.seed_smart_money import NAMES, add_smc_features

BARS = 600
CUTS = 20
SEED_CUTS = 8  # the library starts anew at each; what it shows, it shows at any


def table(title: str, certificates: list[Certificate]) -> None:
    """Print how many past values changed with the future, feature by feature."""
    print(f"\n{title}: {certificates[0].cuts} cuts, each with the future cut off and scrambled")
    for one in certificates:
        print(f"  {one.feature:20} {one.mismatches:6d} past values changed")


def red(title: str, *, by_time: bool) -> set[str]:
    """Return the features whose past changed with their future, and print all."""

    def compute(obs: alone.Values) -> tuple[alone.Values, None]:
        return add_smc_features(obs, by_time=by_time)

    certificates = certify(
        compute, market(BARS, seed=1), np.random.default_rng(0), SEED_CUTS, NAMES
    )
    table(title, certificates)
    return {one.feature for one in certificates if one.mismatches > 0}


def test_the_seeds_smart_money_features_come_out_red():
    """Of the 14, though none reads a forbidden column, at least 13 change with the future."""
    assert len(red("as the roadmap has them", by_time=False)) >= 13


def test_the_seeds_features_stay_red_once_its_search_is_mended():
    """Among the levels of earlier bars alone, gaps are known in time; all that rests on the
    library's swings still changes.
    """
    gaps = {name for name in NAMES if name.startswith("fvg")}
    assert red("... with its search mended", by_time=True) == set(NAMES) - gaps


def test_our_smart_money_features_come_out_green():
    """On the same bars and cuts, ours, warm, have values and none changes; they hold the 14
    names.
    """
    _, warm = alone.batch(GROUP, market(WARMUP, seed=2))

    def compute(obs: alone.Values) -> tuple[alone.Values, alone.Values]:
        return alone.batch(GROUP, obs, warm)

    names = [row.name for row in GROUP.features]
    rng = np.random.default_rng(0)
    certificates = certify(compute, market(BARS, seed=1), rng, CUTS, names)
    table("ours", certificates)
    assert set(NAMES) <= set(names)
    assert all(one.values > 0 and one.mismatches == 0 for one in certificates)


def test_the_seed_knows_a_gap_before_it_opens():
    """Price stands at 100 for 30 bars and then falls by a tenth; the seed says so 16 bars before.

    Its rows are those of the first i gaps, not of the gaps of the first i bars.
    """
    fall = market(40, seed=1)
    fall[:, 1:5] = (100.0, 101.0, 99.0, 100.0)
    fall[30, 1:5] = (100.0, 100.0, 89.0, 90.0)
    fall[31:, 1:5] = (90.0, 91.0, 89.0, 90.0)
    flag = NAMES.index("fvg_bear_below")
    told = add_smc_features(fall)[0][:30, flag]
    untold = add_smc_features(fall[:30])[0][:, flag]
    assert untold.sum() == 0.0
    assert told[14:].tolist() == [1.0] * 16
