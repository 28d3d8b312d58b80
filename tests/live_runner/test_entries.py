"""Every reason to open nothing is reached by a bar, written with it, and told in between."""

import time
from pathlib import Path

import numpy as np
import pytest

from kernel.decision import Abstain
from kernel.features.calendar import BARS_SEEN
from kernel.features.engine import Stream
from kernel.features.registry import STATE_SIZE
from kernel.trading import ABSTAIN
from live_runner.models.inference import LoadedBundle, load_bundle
from live_runner.models.model import RULES_WARM_UP
from tests.live_runner.bundles import Publisher, write_bundle
from tests.live_runner.scene import Scene
from tests.live_runner.stage import BAR_MS, START_MS

FUNDING = {"funding_rate": "GET /fapi/v1/fundingRate: found 503"}
REASONS = {
    Abstain.NONE: "no bundle: rules decide",
    Abstain.NO_BUNDLE: "bundle 0123 was in force and is refused: bad_signature",
    Abstain.NOT_WARM: f"1 of {RULES_WARM_UP} warm-up bars",
    Abstain.STALE_DATA: "stale funding_rate: GET /fapi/v1/fundingRate: found 503",
    Abstain.MISSING_FEATURE: "atr_14 is missing",
    Abstain.KILLED: "kill switch is on",
    Abstain.API_ERRORS: "10 failed requests or more in the last minute",
    Abstain.EXITS_ONLY: "kept for exits only: the symbol was taken out of the universe",
    Abstain.SLOW: "3 bars in a row decided after 500 ms",
    Abstain.OUT_OF_HULL: "the market is unlike any that the model was trained on",
    Abstain.UNKNOWN_DOUBT: "the graph abstains for a reason that this runner does not know",
}


# What a graph says; that the kill switch is on is nothing that it could know.
CODES = {Abstain.OUT_OF_HULL: 9, Abstain.UNKNOWN_DOUBT: Abstain.KILLED.value}


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Return the state of a stream that has seen as many bars as the rules need."""
    scene = Scene(tmp_path_factory.mktemp("warm"))
    for _ in range(RULES_WARM_UP):
        scene.bar()
    return scene.loop.model.stream.snapshot()


def _arranged(abstain: Abstain, home: Path, warm: np.ndarray) -> Scene:
    """Return a scene in which the next bar has this reason, and no graver one."""
    if abstain is Abstain.NOT_WARM:
        return Scene(home)
    if abstain is Abstain.MISSING_FEATURE:
        forgetful = np.zeros(STATE_SIZE)
        forgetful[BARS_SEEN] = RULES_WARM_UP
        return Scene(home, Stream(forgetful))
    if abstain in CODES:
        return Scene(home, Stream(warm.copy()), bundle=_doubting(home, CODES[abstain]))
    lost = REASONS[Abstain.NO_BUNDLE] if abstain is Abstain.NO_BUNDLE else ""
    exits_only = abstain is Abstain.EXITS_ONLY
    scene = Scene(home, Stream(warm.copy()), lost, exits_only)
    scene.killed = abstain is Abstain.KILLED
    for _ in range(10 if abstain is Abstain.API_ERRORS else 0):
        scene.health.failed(time.monotonic())
    for _ in range(3 if abstain is Abstain.SLOW else 0):
        scene.health.decided("BTCUSDT", 500_001, caught_up=False)
    return scene


def _doubting(home: Path, code: int = Abstain.OUT_OF_HULL) -> LoadedBundle:
    """Return a bundle whose graph abstains from every row, by this code."""
    folder = write_bundle(
        home / "bundles",
        "BTCUSDT",
        seed=1,
        state=np.zeros(STATE_SIZE),
        state_open_ms=START_MS - BAR_MS,
        features=("rsi_14", "ema_stack"),
        abstain=code,
    )
    Publisher.make(home / "keys").publish(folder, "BTCUSDT", 1)
    return load_bundle(
        folder,
        symbol="BTCUSDT",
        timeframe="15m",
        keys_dir=home / "keys",
        above_epoch=0,
        now_ms=START_MS,
    )


@pytest.mark.parametrize("abstain", Abstain)
def test_every_reason_is_written_with_its_bar(
    tmp_path: Path, warm: np.ndarray, abstain: Abstain
) -> None:
    """The code stands in the trading row, the reason in the journal; the bar is decided anyway."""
    scene = _arranged(abstain, tmp_path, warm)
    told = scene.bar(FUNDING if abstain is Abstain.STALE_DATA else {})
    assert (told.row[ABSTAIN], told.reason) == (abstain, REASONS[abstain])
    written = scene.journal.all("SELECT reason FROM decisions")
    assert written == [(REASONS[abstain],)]


def test_between_two_bars_a_change_is_told_at_once(tmp_path: Path, warm: np.ndarray) -> None:
    """A kill switch needs no bar to halt, nor to let go; a stale series halts until it is read."""
    scene = Scene(tmp_path, Stream(warm.copy()))
    assert scene.loop.permission(scene.journal).abstain is Abstain.NONE
    scene.killed = True
    assert scene.loop.permission(scene.journal).abstain is Abstain.KILLED
    scene.killed = False
    scene.bar(FUNDING)
    assert scene.loop.permission(scene.journal).abstain is Abstain.STALE_DATA
    scene.bar()
    assert scene.loop.permission(scene.journal).abstain is Abstain.NONE


def test_a_row_out_of_the_hull_is_told_until_the_next_bar(tmp_path: Path, warm: np.ndarray) -> None:
    """What the graph says of the last bar halts the next entry, and is counted by its name."""
    scene = Scene(tmp_path, Stream(warm.copy()), bundle=_doubting(tmp_path))
    scene.bar()
    reason = (Abstain.OUT_OF_HULL, REASONS[Abstain.OUT_OF_HULL])
    assert scene.loop.permission(scene.journal) == reason
    counted = 'tidegate_abstentions_total{reason="out_of_hull",symbol="BTCUSDT"} 1.0'
    assert counted in scene.metrics.render().decode()


def test_a_stale_series_that_is_not_read_is_told_and_bars_nothing(
    tmp_path: Path, warm: np.ndarray
) -> None:
    """The rules do not read open interest."""
    told = Scene(tmp_path, Stream(warm.copy())).bar({"open_interest": "found 503"})
    assert told.row[ABSTAIN] == Abstain.NONE
    assert told.reason == (
        "no bundle: rules decide; does not read the stale open_interest: found 503"
    )
