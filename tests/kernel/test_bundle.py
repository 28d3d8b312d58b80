"""A sound bundle is taken; every way of spoiling one is refused with its own reason."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import bundle
from kernel.bundle import BundleRefused, Refusal, check_golden, verify
from kernel.bundle import verify_contents as contents_of
from kernel.features.registry import GROUPS, STATE_SIZE, feature_hash
from tests.kernel.bundle_maker import (
    CUTOFF_MS,
    FEATURES,
    FOREIGN,
    KEYS,
    contents,
    graph_of,
    npz,
    write,
)
from tests.kernel.trading_rows import BAR_MS, SETTINGS

ALL_FILES = (*contents(), "manifest.json", "signature")


def check(folder: Path) -> bundle.Verified:
    """Verify as the runner does."""
    return verify(
        folder,
        symbol="BTCUSDT",
        timeframe="15m",
        keys=KEYS,
        above_epoch=6,
        now_ms=CUTOFF_MS,
    )


def refusal(folder: Path) -> BundleRefused:
    """Return the refusal of a folder that must be refused."""
    with pytest.raises(BundleRefused) as caught:
        check(folder)
    return caught.value


def test_a_sound_bundle_is_taken(tmp_path: Path) -> None:
    """What was written comes back: manifest, publication, the hashed bytes, golden rows and
    state."""
    folder = write(tmp_path)
    verified = check(folder)
    assert verified.digest == folder.name == verified.manifest.digest
    assert verified.manifest.trading == SETTINGS
    assert verified.manifest.features == FEATURES
    assert verified.publication["approver"] == "Ada"
    assert verified.files == contents()
    assert verified.golden["features"].tolist() == np.arange(12).reshape(4, 3).tolist()
    assert verified.golden["probabilities"].dtype == np.float32
    assert verified.state.tolist() == list(range(STATE_SIZE))
    assert verified.state_open_ms == CUTOFF_MS - BAR_MS


def test_an_unsigned_bundle_has_sound_contents(tmp_path: Path) -> None:
    """Before publishing there is no signature, and after it a bad one is not what is looked at."""
    folder = write(tmp_path)
    (folder / "signature").unlink()
    assert contents_of(folder, symbol="BTCUSDT", timeframe="15m").digest == folder.name
    assert refusal(folder).reason is Refusal.MISSING_SIGNATURE


def spoil_extra(root: Path) -> Path:
    """Add a file that nobody signed."""
    folder = write(root)
    (folder / "exit.onnx").write_bytes(b"")
    return folder


def spoil_missing(root: Path) -> Path:
    """Take the state away."""
    folder = write(root)
    (folder / "state.npz").unlink()
    return folder


def spoil_size(root: Path) -> Path:
    """Blow the graph up beyond any bundle, without using the disk."""
    folder = write(root)
    os.truncate(folder / "signal.onnx", bundle.MAX_BUNDLE_BYTES + 1)
    return folder


def spoil_name(root: Path) -> Path:
    """Put the bundle where another one is expected."""
    return write(root).rename(root / ("0" * 64))


def spoil_file(root: Path) -> Path:
    """Change a file after it was hashed."""
    folder = write(root)
    (folder / "signal.onnx").write_bytes(b"another graph")
    return folder


def spoil_signature(root: Path) -> Path:
    """Sign with a key that is not the one it names."""
    return write(root, key=FOREIGN)


def spoil_golden(root: Path) -> Path:
    """Give golden rows of another width."""
    arrays = {
        "features": np.zeros((4, 2), np.float32),
        "probabilities": np.full((4, 3), 1 / 3, np.float32),
    }
    return write(root, files={"golden.npz": npz(**arrays)})


def spoil_state(root: Path) -> Path:
    """Give a state that has seen a bar after the cutoff."""
    state = npz(state=np.zeros(STATE_SIZE), bars=np.int64(CUTOFF_MS))
    return write(root, files={"state.npz": state})


def spoil_graphs(root: Path) -> Path:
    """Add a graph that a runner of this version would leave out."""
    signal = contents()["signal.onnx"]
    graphs = [graph_of(signal), graph_of(b"an exit", name="exit")]
    return write(root, files={"exit.onnx": b"an exit"}, graphs=graphs)


DRILLS: dict[Refusal, Callable[[Path], Path]] = {
    Refusal.MISSING_FILE: spoil_missing,
    Refusal.EXTRA_FILE: spoil_extra,
    Refusal.TOO_LARGE: spoil_size,
    Refusal.UNKNOWN_SCHEMA: lambda root: write(root, schema="tidegate.bundle/9"),
    Refusal.MALFORMED_MANIFEST: lambda root: write(root, cutoff_ms="soon"),
    Refusal.DIGEST_MISMATCH: spoil_name,
    Refusal.FILE_DIGEST_MISMATCH: spoil_file,
    Refusal.WRONG_SYMBOL: lambda root: write(root, symbol="ETHUSDT"),
    Refusal.WRONG_FEATURE_HASH: lambda root: write(root, feature_hash="0" * 64),
    Refusal.UNKNOWN_FEATURE: lambda root: write(root, features=["return_1", "hindsight"]),
    Refusal.MISSING_SIGNATURE: lambda root: unsigned(write(root)),
    Refusal.FOREIGN_KEY: lambda root: write(root, key=FOREIGN, publication={"key_id": "guest"}),
    Refusal.BAD_SIGNATURE: spoil_signature,
    Refusal.STALE_EPOCH: lambda root: write(root, publication={"epoch": 6}),
    Refusal.GOLDEN_MISMATCH: spoil_golden,
    Refusal.OVER_BUDGET: lambda root: write(root, max_bytes=100),
    Refusal.STATE_MISMATCH: spoil_state,
    Refusal.UNKNOWN_GRAPH: spoil_graphs,
    Refusal.EXPIRED: lambda root: write(root, expires_ms=CUTOFF_MS),
}


def unsigned(folder: Path) -> Path:
    """Take the signature away."""
    (folder / "signature").unlink()
    return folder


@pytest.mark.parametrize("reason", list(Refusal))
def test_each_tampering_is_refused_with_its_own_reason(reason: Refusal, tmp_path: Path) -> None:
    """For every reason there is a drill, and it is refused for that reason and told what was
    expected."""
    refused = refusal(DRILLS[reason](tmp_path))
    assert refused.reason is reason
    assert refused.found
    assert refused.expected
    assert str(refused) == (
        f"bundle refused, {reason}: found {refused.found}, expected {refused.expected}"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "0" * 64}, Refusal.DIGEST_MISMATCH),
        ({"symbol": "ETHUSDT"}, Refusal.WRONG_SYMBOL),
        ({"timeframe": "1h"}, Refusal.WRONG_SYMBOL),
        ({"schema": "tidegate.publication/2"}, Refusal.UNKNOWN_SCHEMA),
        ({"epoch": 0}, Refusal.BAD_SIGNATURE),
        ({"epoch": 7.0}, Refusal.BAD_SIGNATURE),
        ({"epoch": True}, Refusal.BAD_SIGNATURE),
        ({"approver": ""}, Refusal.BAD_SIGNATURE),
        ({"note": "please"}, Refusal.BAD_SIGNATURE),
    ],
)
def test_a_validly_signed_but_wrong_publication_is_refused(
    changes: dict[str, Any], reason: Refusal, tmp_path: Path
) -> None:
    """The house key's signature is not enough: the words it signs must be for this bundle and well
    formed."""
    assert refusal(write(tmp_path, publication=changes)).reason is reason


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{"name": "sequence", "shape": [None, 48, 3], "dtype": "float32"}]},
        {"inputs": [{"name": "input", "shape": [None, 4], "dtype": "float32"}]},
        {"outputs": [{"name": "votes", "shape": [None, 2, 3], "dtype": "float32"}]},
        {"outputs": [{"name": "probabilities", "shape": [None, 3], "dtype": "float32"}]},
    ],
    ids=["a sequence", "another width", "no probabilities", "votes of no base"],
)
def test_a_graph_that_this_runner_cannot_feed_or_read_is_refused(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """What it would need or tell is not what this version hands over and reads."""
    graphs = [graph_of(contents()["signal.onnx"], **changes)]
    assert refusal(write(tmp_path, graphs=graphs)).reason is Refusal.UNKNOWN_GRAPH


def test_a_state_of_before_a_group_came_is_taken(tmp_path: Path) -> None:
    """Groups are found by their names: one that is not there starts from nothing, and one that the
    bundle reads must be there.
    """
    kept = [group for group in GROUPS if group.name != "memory"]
    parts = [{"group": group.name, "slots": group.state_size} for group in kept]
    size = sum(group.state_size for group in kept)
    state = npz(state=np.arange(1.0, size + 1.0), bars=np.int64(CUTOFF_MS - BAR_MS))
    folder = write(tmp_path, files={"state.npz": state}, state=parts)
    verified = check(folder)
    assert len(verified.state) == STATE_SIZE
    assert np.count_nonzero(verified.state == 0.0) == STATE_SIZE - size
    assert verified.state[:5].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    features = ["hurst", "rsi_14"]
    golden = npz(
        features=np.zeros((4, 2), np.float32),
        probabilities=np.full((4, 3), 1 / 3, dtype=np.float32),
    )
    graph = graph_of(
        contents()["signal.onnx"],
        inputs=[{"name": "input", "shape": [None, 2], "dtype": "float32"}],
    )
    refused = refusal(
        write(
            tmp_path,
            files={"state.npz": state, "golden.npz": golden},
            state=parts,
            features=features,
            feature_hash=feature_hash(features),
            graphs=[graph],
        )
    )
    assert refused.reason is Refusal.STATE_MISMATCH


def test_a_publication_of_another_bundle_is_refused(tmp_path: Path) -> None:
    """A real signature copied from the champion's folder does not cover the candidate."""
    champion = write(tmp_path)
    candidate = write(tmp_path, code_revision="another")
    (candidate / "signature").write_bytes((champion / "signature").read_bytes())
    assert refusal(candidate).reason is Refusal.DIGEST_MISMATCH


@pytest.mark.parametrize("name", ALL_FILES)
def test_one_flipped_bit_in_any_file_is_refused(name: str, tmp_path: Path) -> None:
    """Whichever bit of whichever file flips, the bundle is refused for a reason of that file."""
    folder = write(tmp_path)
    path = folder / name
    sound = path.read_bytes()
    expected = {
        "manifest.json": {Refusal.DIGEST_MISMATCH},
        "signature": {Refusal.BAD_SIGNATURE, Refusal.FOREIGN_KEY, Refusal.UNKNOWN_SCHEMA},
    }.get(name, {Refusal.FILE_DIGEST_MISMATCH})

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(sound) * 8 - 1))
    def flip(bit: int) -> None:
        spoiled = bytearray(sound)
        spoiled[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoiled)
        assert refusal(folder).reason in expected

    flip()
    path.write_bytes(sound)
    assert check(folder).digest == folder.name


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_cut_off_file_is_refused(name: str, tmp_path: Path) -> None:
    """A file of which only the first half was written does not pass."""
    path = write(tmp_path) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(path.parent).reason in {
        Refusal.DIGEST_MISMATCH,
        Refusal.FILE_DIGEST_MISMATCH,
        Refusal.BAD_SIGNATURE,
    }


@pytest.mark.parametrize("name", ALL_FILES)
def test_only_plain_files_are_read(name: str, tmp_path: Path) -> None:
    """A link, a folder or a pipe in a file's place is refused without following or waiting."""
    folder = write(tmp_path / "bundles")
    kept = (folder / name).rename(tmp_path / "kept")
    (folder / name).symlink_to(kept)
    assert refusal(folder).reason is Refusal.MISSING_FILE
    (folder / name).unlink()
    (folder / name).mkdir()
    assert refusal(folder).reason is Refusal.MISSING_FILE
    (folder / name).rmdir()
    os.mkfifo(folder / name)
    assert refusal(folder).reason is Refusal.MISSING_FILE


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A digest that was never written is a missing file, not a crash."""
    assert refusal(tmp_path / ("a" * 64)).reason is Refusal.MISSING_FILE


@pytest.mark.parametrize("name", ["manifest.json", "signature"])
def test_small_files_have_small_limits(name: str, tmp_path: Path) -> None:
    """A manifest or signature of many megabytes is refused unread."""
    folder = write(tmp_path)
    os.truncate(folder / name, 2_000_000)
    assert refusal(folder).reason is Refusal.TOO_LARGE


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """An object array in place of the state is refused, not unpickled."""
    state = npz(state=np.array([{"a": 1}], dtype=object), bars=np.int64(0))
    assert refusal(write(tmp_path, files={"state.npz": state})).reason is Refusal.STATE_MISMATCH


@pytest.mark.parametrize(
    ("name", "arrays", "reason"),
    [
        ("state.npz", {"state": np.zeros(3), "bars": np.int64(0)}, Refusal.STATE_MISMATCH),
        ("state.npz", {"state": np.zeros(STATE_SIZE)}, Refusal.STATE_MISMATCH),
        (
            "state.npz",
            {"state": np.zeros(STATE_SIZE), "bars": np.int64(7)},
            Refusal.STATE_MISMATCH,
        ),
        (
            "golden.npz",
            {"features": np.zeros((0, 3), "f4"), "probabilities": np.zeros((0, 3), "f4")},
            Refusal.GOLDEN_MISMATCH,
        ),
        (
            "golden.npz",
            {"features": np.zeros((2, 3), "f4"), "probabilities": np.full((2, 3), np.nan, "f4")},
            Refusal.GOLDEN_MISMATCH,
        ),
        ("golden.npz", {"features": np.zeros((2, 3), "f4")}, Refusal.GOLDEN_MISMATCH),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    name: str, arrays: dict[str, Any], reason: Refusal, tmp_path: Path
) -> None:
    """State and golden rows must be complete, of the right size and sensible."""
    assert refusal(write(tmp_path, files={name: npz(**arrays)})).reason is reason


def test_golden_outputs_are_compared_within_tolerance() -> None:
    """Equal outputs pass; a larger difference, a NaN or another shape is a golden mismatch."""
    golden = np.array([[0.2, 0.3, 0.5]], dtype=np.float32)
    check_golden(golden + np.float32(1e-6), golden, 1e-5)
    for outputs in (golden + np.float32(1e-3), golden * np.nan, golden[:, :2]):
        with pytest.raises(BundleRefused) as caught:
            check_golden(outputs, golden, 1e-5)
        assert caught.value.reason is Refusal.GOLDEN_MISMATCH
