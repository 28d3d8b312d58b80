import dataclasses

import numpy as np
import pytest

from research.settings import Settings
from research.training.earning import Earning, SeenRows, choose
from tests.research.worlds import settings

SETTINGS = settings()
BAR_MS = SETTINGS.bar_ms
ROWS = 12_000


def seen(*sharpness: float, seed: int = 1, twin: bool = False) -> SeenRows:
    """Return rows whose class a hidden score tells, and a voter that sees so much of it each.

    Each voter has a noise of its own; a twin says what the first says.
    """
    rng = np.random.default_rng(seed)
    score = rng.normal(size=ROWS)
    y = np.digitize(score + rng.normal(0, 1, ROWS), [-0.5, 0.5]).astype(np.int8)
    votes = [_votes(share * score + rng.normal(0, 0.7, ROWS), y) for share in sharpness]
    if twin:
        votes.append(votes[0] * 0.999 + 0.001 / 3)
    start = np.arange(ROWS, dtype=np.int64) * BAR_MS
    return SeenRows(
        votes=np.concatenate(votes, axis=1).astype(np.float32),
        y=y,
        worth=np.full(ROWS, 0.1),
        start_ms=start,
        end_ms=start + 20 * BAR_MS,
    )


def _votes(observed: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return calibrated votes: the shares of the classes among rows observed alike."""
    alike = np.digitize(observed, np.quantile(observed, np.linspace(0, 1, 41)[1:-1]))
    shares = np.stack([np.bincount(alike, y == k, 40) for k in range(3)], axis=1)
    return (shares / shares.sum(axis=1, keepdims=True))[alike]


def test_a_base_of_noise_leaves_and_those_that_are_missed_stay():
    """Two that see the class through noises of their own stay; one that sees nothing is out."""
    found = choose(("one", "two", "noise"), seen(0.7, 0.7, 0.0), SETTINGS)
    assert found.kept == ("one", "two")
    out = found.verdicts[2]
    assert out.missed is not None and out.missed.low <= 0.0
    assert found.verdicts[0].missed is not None and found.verdicts[0].missed.low > 0.0


def test_of_two_that_say_the_same_one_stays():
    """Neither of a pair of twins is missed while the other is there: one of them is kept."""
    found = choose(("one", "noise", "twin"), seen(0.7, 0.0, twin=True), SETTINGS)
    assert len(found.kept) == 1
    assert found.kept[0] in {"one", "twin"}
    twins = next(pair for pair in found.pairs if {pair.one, pair.other} == {"one", "twin"})
    assert twins.disagreement < 0.01
    assert twins.error_correlation > 0.99


def test_at_least_one_base_stays():
    """Where all are noise the last one left stays, and a lonely one is never asked."""
    assert len(choose(("one", "two"), seen(0.0, 0.0), SETTINGS).kept) == 1
    assert choose(("one",), seen(0.0), SETTINGS).kept == ("one",)


def test_a_few_rows_choose_nothing():
    """Before there are enough rows every base stays, and says why."""
    few = seen(0.7, 0.0)
    short = dataclasses.replace(
        few,
        **{field.name: getattr(few, field.name)[:2_000] for field in dataclasses.fields(few)},
    )
    found = choose(("one", "two"), short, SETTINGS)
    assert found.kept == ("one", "two")
    assert "too few to choose" in found.verdicts[0].why


def test_equal_rows_choose_equally_and_survive_their_record():
    """The same rows give the same verdicts, which read back as they were."""
    first = choose(("one", "noise"), seen(0.7, 0.0), SETTINGS)
    assert choose(("one", "noise"), seen(0.7, 0.0), SETTINGS) == first
    assert Earning.from_record(first.to_record()) == first


@pytest.mark.parametrize("confidence", [0.6, 0.99])
def test_a_stricter_confidence_never_keeps_more(confidence: float):
    """The bound decides: a base that hardly helps stays at a low confidence only, if at all."""
    models = SETTINGS.models
    stack = dataclasses.replace(models.stack, stay_confidence=confidence)
    chosen: Settings = dataclasses.replace(
        SETTINGS, models=dataclasses.replace(models, stack=stack)
    )
    lenient = choose(("one", "faint"), seen(0.7, 0.12, seed=5), SETTINGS).kept
    found = choose(("one", "faint"), seen(0.7, 0.12, seed=5), chosen).kept
    assert set(found) <= set(lenient) if confidence > 0.9 else set(found) >= set(lenient)
