"""Bundles that earlier builds wrote load and trade as they did."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernel.digest import canonical_json, sha256_hex
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES, feature_hash
from kernel.manifest import FLAT_BASES
from kernel.trading import ABSTAIN, ORDER
from live_runner.models.graph import Graph
from live_runner.models.inference import LoadedBundle, load_bundle
from tests.live_runner.bundles import Publisher
from tests.live_runner.scene import SYMBOL, Scene
from tests.live_runner.stage import START_MS

STORED = sorted((Path(__file__).resolve().parents[1] / "golden" / "bundles").iterdir())
stored_bundles = pytest.mark.parametrize("stored", STORED, ids=lambda path: path.name[:8])
BARS = 80


@stored_bundles
def test_a_stored_bundle_is_as_it_was_written(stored: Path) -> None:
    """The folder's name is the digest of its manifest, which holds those of its files."""
    manifest = (stored / "manifest.json").read_bytes()
    assert sha256_hex(manifest) == stored.name
    files = json.loads(manifest)["files"]
    assert {name: sha256_hex((stored / name).read_bytes()) for name in files} == files


@stored_bundles
def test_a_bundle_of_an_earlier_schema_loads_and_trades(stored: Path, tmp_path: Path) -> None:
    """Its own graph decides every bar, and orders go out from its feature state on."""
    bundle = _loaded(tmp_path, stored)
    assert bundle.manifest.bases == FLAT_BASES
    scene = Scene(tmp_path, Stream(bundle.state), bundle=bundle)
    told = [scene.bar() for _ in range(BARS)]
    columns = [FEATURES.index(name) for name in bundle.manifest.features]
    rows = np.array([one.features for one in told])[:, columns].astype(np.float32)
    graph = Graph((stored / "signal.onnx").read_bytes())
    said = np.concatenate([graph.answers(row[None]).probabilities for row in rows])
    assert np.array_equal(np.array([one.probabilities for one in told], np.float32), said)
    assert graph.votes(rows).shape == (BARS, len(FLAT_BASES), 3)
    assert told[-1].row[ABSTAIN] == 0.0
    assert any(one.out[ORDER] != 0.0 for one in told)


def _loaded(home: Path, stored: Path) -> LoadedBundle:
    """Publish and load a stored bundle as its build would have written it with today's features."""
    body: dict[str, Any] = json.loads((stored / "manifest.json").read_bytes())
    body["feature_hash"] = feature_hash(tuple(body["features"]))
    data = canonical_json(body)
    folder = home / "bundles" / sha256_hex(data)
    shutil.copytree(stored, folder)
    (folder / "manifest.json").write_bytes(data)
    Publisher.make(home / "keys").publish(folder, SYMBOL, 1)
    return load_bundle(
        folder,
        symbol=SYMBOL,
        timeframe="15m",
        keys_dir=home / "keys",
        above_epoch=0,
        now_ms=START_MS,
    )
