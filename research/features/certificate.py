"""The proof that no feature sees the future, on recent bars of one market, as a record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kernel.digest import sha256_hex
from kernel.features.certificate import certify
from kernel.features.engine import compute
from kernel.features.registry import feature

SCHEMA = "tidegate.leak_certificate/1"


@dataclass(frozen=True, slots=True)
class FeatureProof:
    """One feature under `cuts` cuts: how many values it had and how many changed with their future.

    `hash` is of the code that was certified.
    """

    feature: str
    group: str
    cuts: int
    values: int
    mismatches: int
    hash: str


@dataclass(frozen=True, slots=True)
class LeakCertificate:
    """Every feature's proof on `bars` bars of a symbol, of a week that ends at `cutoff_ms`.

    `data_digest` is of the bars and of the state before the first of them.
    """

    symbol: str
    cutoff_ms: int
    bars: int
    first_open_ms: int
    last_open_ms: int
    data_digest: str
    features: tuple[FeatureProof, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate with its schema, ready for JSON."""
        return {
            "schema": SCHEMA,
            **asdict(self),
            "features": [asdict(one) for one in self.features],
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote; raise ValueError for another schema."""
        if raw["schema"] != SCHEMA:
            raise ValueError(
                f"leak certificate: found schema {raw['schema']!r}, expected {SCHEMA!r}: "
                "materialize features/certificate again"
            )
        return cls(
            symbol=raw["symbol"],
            cutoff_ms=raw["cutoff_ms"],
            bars=raw["bars"],
            first_open_ms=raw["first_open_ms"],
            last_open_ms=raw["last_open_ms"],
            data_digest=raw["data_digest"],
            features=tuple(FeatureProof(**one) for one in raw["features"]),
        )

    def faults(self, names: Sequence[str]) -> dict[str, str]:
        """Return why features of today's code are not proved, by name; all proved is {}."""
        rows = {one.feature: one for one in self.features}
        found = {name: _fault(rows.get(name), name) for name in names}
        return {name: fault for name, fault in found.items() if fault}

    def of_group(self, group: str) -> tuple[FeatureProof, ...]:
        """Return the proofs of one group's features."""
        return tuple(one for one in self.features if one.group == group)

    def leaking(self, group: str) -> list[FeatureProof]:
        """Return the group's features that changed when their future did."""
        return [one for one in self.of_group(group) if one.mismatches]

    def unproved(self, group: str) -> list[str]:
        """Return the group's features without a value on these bars: nothing is proved of them."""
        return [one.feature for one in self.of_group(group) if not one.values]


def certificate(
    observed: NDArray[np.float64],
    state: NDArray[np.float64] | None,
    *,
    symbol: str,
    cutoff_ms: int,
    cuts: int,
    seed: int,
) -> LeakCertificate:
    """Return every feature's certificate on bars `observed`, float64[n, K].

    `state` is the one before the first of them, by default that of a history's beginning: a warm
    one lets long windows speak.
    """
    rng = np.random.default_rng(seed)
    found = certify(lambda rows: compute(rows, state), observed, rng, cuts)
    start = b"" if state is None else state.tobytes()
    return LeakCertificate(
        symbol=symbol,
        cutoff_ms=cutoff_ms,
        bars=len(observed),
        first_open_ms=int(observed[0, 0]),
        last_open_ms=int(observed[-1, 0]),
        data_digest=sha256_hex(start + np.ascontiguousarray(observed).tobytes()),
        features=tuple(
            FeatureProof(
                feature=one.feature,
                group=feature(one.feature).group,
                cuts=one.cuts,
                values=one.values,
                mismatches=one.mismatches,
                hash=feature(one.feature).hash,
            )
            for one in found
        ),
    )


def _fault(proof: FeatureProof | None, name: str) -> str:
    if proof is None:
        return "has no certificate"
    if proof.hash != feature(name).hash:
        return "was certified for other code"
    if proof.mismatches:
        return f"changed with its future in {proof.mismatches} values"
    return "" if proof.values else "had no value on the certified bars, so nothing was proved"
