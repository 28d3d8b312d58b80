"""The certificate as a record: what it proves, and about what it says nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kernel.digest import sha256_hex
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, feature
from research.features.certificate import LeakCertificate, certificate
from tests.kernel.features.worlds import market

BARS = 400
CUTOFF_MS = 1_765_670_400_000


@pytest.fixture(scope="module")
def observed() -> np.ndarray:
    return market(2 * BARS, seed=3)


@pytest.fixture(scope="module")
def warm(observed: np.ndarray) -> np.ndarray:
    """Return the state before the certified bars."""
    return compute(observed[:BARS])[1]


def certified(observed: np.ndarray, state: np.ndarray | None, cuts: int) -> LeakCertificate:
    return certificate(
        observed[BARS:], state, symbol="BTCUSDT", cutoff_ms=CUTOFF_MS, cuts=cuts, seed=1
    )


def test_record_tells_bars_data_and_code(observed: np.ndarray, warm: np.ndarray) -> None:
    """It is JSON: the span, a digest of bars and state, and one row per feature with its hash."""
    record = certified(observed, warm, cuts=3)
    assert LeakCertificate.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert record.bars == BARS
    assert record.first_open_ms == observed[BARS, 0]
    assert record.last_open_ms == observed[-1, 0]
    assert record.data_digest == sha256_hex(warm.tobytes() + observed[BARS:].tobytes())
    assert [one.feature for one in record.features] == list(FEATURES)
    assert {one.hash for one in record.features} == {feature(n).hash for n in FEATURES}
    assert {one.mismatches for one in record.features} == {0}


def test_a_warm_state_lets_long_windows_speak(observed: np.ndarray, warm: np.ndarray) -> None:
    """Four hundred bars from nothing prove nothing of a window of five hundred; warm ones do."""
    cold = certified(observed, None, cuts=2)
    assert "volatility_regime" in cold.unproved("volatility")
    known = certified(observed, warm, cuts=2)
    assert "volatility_regime" not in known.unproved("volatility")
    assert known.faults(["volatility_regime", "rsi_14"]) == {}
    assert "no value" in cold.faults(["volatility_regime", "rsi_14"])["volatility_regime"]


def test_leaks_are_told_by_group(observed: np.ndarray, warm: np.ndarray) -> None:
    """A feature that changed with its future is found under its group and no other."""
    record = certified(observed, warm, cuts=2)
    assert record.leaking("momentum") == []
    leaked = tuple(
        replace(one, mismatches=2) if one.feature == "rsi_14" else one for one in record.features
    )
    record = replace(record, features=leaked)
    assert [one.feature for one in record.leaking("momentum")] == ["rsi_14"]
    assert record.leaking("trend") == []
    assert record.faults(["rsi_14"]) == {"rsi_14": "changed with its future in 2 values"}


def test_a_certificate_of_another_schema_is_not_read(
    observed: np.ndarray, warm: np.ndarray
) -> None:
    """What a later version wrote is named, and nothing is taken as proved by it."""
    record = certified(observed, warm, cuts=1).to_dict()
    with pytest.raises(ValueError, match="leak_certificate/2"):
        LeakCertificate.from_dict({**record, "schema": "tidegate.leak_certificate/2"})
