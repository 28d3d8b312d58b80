"""A bundle is judged on the machine that loads it, by CPU time, whatever its manifest's version."""

from pathlib import Path

import numpy as np
import pytest

from kernel.bundle import BundleRefused, Refusal
from kernel.features.registry import STATE_SIZE
from live_runner.models.inference import load_bundle
from tests.live_runner.bundles import FEW, Publisher, rewrite_manifest, write_bundle
from tests.live_runner.stage import BAR_MS, START_MS
from tests.spinning import spinning

SYMBOL = "BTCUSDT"


def _bundle(home: Path) -> Path:
    return write_bundle(
        home / "bundles",
        SYMBOL,
        seed=1,
        state=np.zeros(STATE_SIZE),
        state_open_ms=START_MS - BAR_MS,
        features=FEW,
    )


def _budgets(cost_field: str, cpu_ms: float) -> dict[str, object]:
    versions = {"p99_ms": 2, "cpu_ms": 3}
    return {
        "schema": f"tidegate.bundle/{versions[cost_field]}",
        "budgets": {cost_field: cpu_ms, "max_bytes": 1_000_000},
    }


@pytest.mark.parametrize("cost_field", ["p99_ms", "cpu_ms"])
def test_a_bundle_within_its_budget_loads_beside_two_spinning_processes(
    tmp_path: Path, cost_field: str
) -> None:
    """A promise of the wall clock, as older bundles make it, is kept by CPU time too."""
    folder = rewrite_manifest(_bundle(tmp_path), **_budgets(cost_field, 1.0))
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    with spinning(2):
        loaded = load_bundle(folder, SYMBOL, "15m", tmp_path / "keys", 0)
    assert 0.0 < loaded.cost.cpu_ms < 1.0
    assert loaded.digest == folder.name


@pytest.mark.parametrize("cost_field", ["p99_ms", "cpu_ms"])
def test_a_bundle_above_its_budget_is_refused_with_both_figures(
    tmp_path: Path, cost_field: str
) -> None:
    """The reason says what a row took here and what was promised."""
    folder = rewrite_manifest(_bundle(tmp_path), **_budgets(cost_field, 1e-6))
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    with pytest.raises(BundleRefused, match="CPU a row, expected at most 1e-06 ms") as caught:
        load_bundle(folder, SYMBOL, "15m", tmp_path / "keys", 0)
    assert caught.value.reason is Refusal.OVER_BUDGET


def test_a_key_that_does_not_read_refuses_the_bundle_and_ends_nothing(tmp_path: Path) -> None:
    """Keys on a share that fails for a moment are a refusal, which a later attempt may undo."""
    folder = _bundle(tmp_path)
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    (tmp_path / "keys" / "another.pub").mkdir()  # reading it fails as a broken share does
    with pytest.raises(BundleRefused) as caught:
        load_bundle(folder, SYMBOL, "15m", tmp_path / "keys", 0)
    assert caught.value.reason is Refusal.FOREIGN_KEY
