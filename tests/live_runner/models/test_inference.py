"""A bundle is judged on the machine that loads it, by CPU time, whatever its manifest's version."""

import json
from pathlib import Path

import numpy as np
import pytest

from kernel.bundle import BundleRefused, Refusal
from kernel.features.registry import STATE_SIZE
from live_runner.models.inference import LoadedBundle, load_bundle
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


def _load(home: Path, folder: Path) -> LoadedBundle:
    return load_bundle(
        folder,
        symbol=SYMBOL,
        timeframe="15m",
        keys_dir=home / "keys",
        above_epoch=0,
        now_ms=START_MS,
    )


def _promising(folder: Path, cpu_ms: float) -> Path:
    """Return a copy of the bundle that promises this much CPU time a row."""
    graphs = json.loads((folder / "manifest.json").read_bytes())["graphs"]
    graphs[0]["budget"]["cpu_ms"] = cpu_ms
    return rewrite_manifest(folder, graphs=graphs)


def test_a_bundle_within_its_budget_loads_beside_two_spinning_processes(tmp_path: Path) -> None:
    """What a row takes is CPU time, which no neighbour takes from it."""
    folder = _promising(_bundle(tmp_path), 1.0)
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    with spinning(2):
        loaded = _load(tmp_path, folder)
    assert 0.0 < loaded.cost.cpu_ms < 1.0
    assert loaded.digest == folder.name


def test_a_bundle_above_its_budget_is_refused_with_both_figures(tmp_path: Path) -> None:
    """The reason says what a row took here and what was promised."""
    folder = _promising(_bundle(tmp_path), 1e-6)
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    with pytest.raises(BundleRefused, match="CPU a row, expected at most 1e-06 ms") as caught:
        _load(tmp_path, folder)
    assert caught.value.reason is Refusal.OVER_BUDGET


def test_a_key_that_does_not_read_refuses_the_bundle_and_ends_nothing(tmp_path: Path) -> None:
    """Keys on a share that fails for a moment are a refusal, which a later attempt may undo."""
    folder = _bundle(tmp_path)
    Publisher.make(tmp_path / "keys").publish(folder, SYMBOL, 1)
    (tmp_path / "keys" / "another.pub").mkdir()  # reading it fails as a broken share does
    with pytest.raises(BundleRefused) as caught:
        _load(tmp_path, folder)
    assert caught.value.reason is Refusal.FOREIGN_KEY
