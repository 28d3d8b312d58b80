"""The proof that no feature sees the future, on recent bars of one market, as a record."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.digest import sha256_hex
from kernel.features.certificate import certify
from kernel.features.engine import compute
from kernel.features.registry import feature

SCHEMA = "tidegate.leak_certificate/1"
Record = Mapping[str, Any]


def certificate(
    observed: NDArray[np.float64], state: NDArray[np.float64] | None, *, cuts: int, seed: int
) -> dict[str, Any]:
    """Return every feature's certificate on bars `observed`, float64[n, K], ready for JSON.

    `state` is the one before the first of them, by default that of a history's beginning: a warm
    one lets long windows speak. `data_digest` is of the bars and the state.
    """
    rng = np.random.default_rng(seed)
    found = certify(lambda rows: compute(rows, state), observed, rng, cuts)
    start = b"" if state is None else state.tobytes()
    return {
        "schema": SCHEMA,
        "bars": len(observed),
        "first_open_ms": int(observed[0, 0]),
        "last_open_ms": int(observed[-1, 0]),
        "data_digest": sha256_hex(start + np.ascontiguousarray(observed).tobytes()),
        "features": [
            {
                "feature": one.feature,
                "group": feature(one.feature).group,
                "cuts": one.cuts,
                "values": one.values,
                "mismatches": one.mismatches,
                "hash": feature(one.feature).hash,
            }
            for one in found
        ],
    }


def faults(record: Record, names: Sequence[str]) -> dict[str, str]:
    """Return why the record does not prove features of today's code, by name; all proved is {}."""
    rows = {one["feature"]: one for one in record["features"]}
    found = {name: _fault(rows.get(name), name) for name in names}
    return {name: fault for name, fault in found.items() if fault}


def leaking(record: Record, group: str) -> list[Record]:
    """Return the certificates of a group's features that changed when their future did."""
    return [one for one in record["features"] if one["group"] == group and one["mismatches"]]


def unproved(record: Record, group: str) -> list[str]:
    """Return the group's features that had no value on these bars: about them nothing is proved."""
    return [
        one["feature"] for one in record["features"] if one["group"] == group and not one["values"]
    ]


def _fault(row: Record | None, name: str) -> str:
    if row is None:
        return "has no certificate"
    if row["hash"] != feature(name).hash:
        return "was certified for other code"
    if row["mismatches"]:
        return f"changed with its future in {row['mismatches']} values"
    return "" if row["values"] else "had no value on the certified bars, so nothing was proved"
