"""The certificate as a record: what it proves, and about what it says nothing."""

import json

import numpy as np
import pytest

from kernel.digest import sha256_hex
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, feature
from research.features.certificate import certificate, faults, leaking, unproved
from tests.kernel.features.worlds import market

BARS = 400


@pytest.fixture(scope="module")
def observed() -> np.ndarray:
    return market(2 * BARS, seed=3)


@pytest.fixture(scope="module")
def warm(observed: np.ndarray) -> np.ndarray:
    """Return the state before the certified bars."""
    return compute(observed[:BARS])[1]


def test_record_tells_bars_data_and_code(observed: np.ndarray, warm: np.ndarray) -> None:
    """It is JSON: the span, a digest of bars and state, and one row per feature with its hash."""
    record = certificate(observed[BARS:], warm, cuts=3, seed=1)
    assert json.loads(json.dumps(record)) == record
    assert record["bars"] == BARS
    assert record["first_open_ms"] == observed[BARS, 0]
    assert record["last_open_ms"] == observed[-1, 0]
    assert record["data_digest"] == sha256_hex(warm.tobytes() + observed[BARS:].tobytes())
    assert [one["feature"] for one in record["features"]] == list(FEATURES)
    assert {one["hash"] for one in record["features"]} == {feature(n).hash for n in FEATURES}
    assert {one["mismatches"] for one in record["features"]} == {0}


def test_a_warm_state_lets_long_windows_speak(observed: np.ndarray, warm: np.ndarray) -> None:
    """Four hundred bars from nothing prove nothing of a window of five hundred; warm ones do."""
    cold = certificate(observed[BARS:], None, cuts=2, seed=1)
    assert "volatility_regime" in unproved(cold, "volatility")
    known = certificate(observed[BARS:], warm, cuts=2, seed=1)
    assert "volatility_regime" not in unproved(known, "volatility")
    assert faults(known, ["volatility_regime", "rsi_14"]) == {}
    assert "no value" in faults(cold, ["volatility_regime", "rsi_14"])["volatility_regime"]


def test_leaks_are_told_by_group(observed: np.ndarray, warm: np.ndarray) -> None:
    """A feature that changed with its future is found under its group and no other."""
    record = certificate(observed[BARS:], warm, cuts=2, seed=1)
    assert leaking(record, "momentum") == []
    row = next(one for one in record["features"] if one["feature"] == "rsi_14")
    row["mismatches"] = 2
    assert [one["feature"] for one in leaking(record, "momentum")] == ["rsi_14"]
    assert leaking(record, "trend") == []
    assert faults(record, ["rsi_14"]) == {"rsi_14": "changed with its future in 2 values"}
