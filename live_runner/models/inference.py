"""A verified bundle, loaded and proven to compute here what it computed where it was made."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from numpy.typing import NDArray

from kernel.bundle import (
    BundleRefused,
    Golden,
    Manifest,
    Refusal,
    Verified,
    Verifier,
    check_golden,
    verify,
)
from kernel.features.registry import FEATURES, warmup_bars
from live_runner.models.graph import GRAPH_ERRORS, Graph

GOLDEN_TOLERANCE = 1e-6
TIMED_RUNS = 200
TIMED_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A bundle that passed every check; nothing in it changes.

    `columns` picks the model's inputs out of FEATURES, which have their values after `warmup_bars`
    bars. `state` float64[S] is the feature state
    after the bar that opens at `state_open_ms`. `p99_ms` is the measured latency of one row.
    """

    manifest: Manifest
    digest: str
    epoch: int
    graph: Graph
    columns: tuple[int, ...]
    warmup_bars: int
    state: NDArray[np.float64]
    state_open_ms: int
    p99_ms: float

    def probabilities(self, features: Sequence[float]) -> list[float]:
        """Return (p_sell, p_hold, p_buy) of one row in the order of FEATURES."""
        row = [[features[column] for column in self.columns]]
        return self.graph.probabilities(np.array(row, dtype=np.float32))[0].tolist()


def load_bundle(
    folder: Path, symbol: str, timeframe: str, keys_dir: Path, above_epoch: int
) -> LoadedBundle:
    """Verify a bundle folder, load its graph and prove it.

    Raises BundleRefused at the first broken rule.
    """
    keys = read_keys(keys_dir)
    verified = verify(
        folder, symbol=symbol, timeframe=timeframe, keys=keys, above_epoch=above_epoch
    )
    graph, p99_ms = _prove(verified)
    return LoadedBundle(
        manifest=verified.manifest,
        digest=verified.digest,
        epoch=verified.publication["epoch"],
        graph=graph,
        columns=tuple(FEATURES.index(name) for name in verified.manifest.features),
        warmup_bars=warmup_bars(verified.manifest.features),
        state=verified.state,
        state_open_ms=verified.state_open_ms,
        p99_ms=p99_ms,
    )


def measure_p99_ms(graph: Graph, row: NDArray[np.float32]) -> float:
    """Return the 99th percentile of one-row latency in ms: the best of a few rounds of timed runs.

    Other processes only ever slow a round down: the best one is nearest to the bundle's own cost.
    """
    rounds: list[float] = []
    for _ in range(TIMED_ROUNDS):
        taken: list[int] = []
        for _ in range(TIMED_RUNS):
            began = time.perf_counter_ns()
            graph.probabilities(row)
            taken.append(time.perf_counter_ns() - began)
        rounds.append(sorted(taken)[int(TIMED_RUNS * 0.99) - 1] / 1e6)
    return min(rounds)


def read_keys(folder: Path) -> dict[str, Verifier]:
    """Return a verifier for each Ed25519 key in `<folder>/<key_id>.pub` (PEM).

    Raises BundleRefused for a file that is none: no bundle is trusted while the keys are in doubt.
    """
    try:
        return {path.stem: _verifier(path) for path in sorted(folder.glob("*.pub"))}
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleRefused(
            Refusal.FOREIGN_KEY, f"{folder}: {error}", "Ed25519 keys in PEM"
        ) from error


def _verifier(path: Path) -> Verifier:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError(f"{path}: found a {type(key).__name__}, expected an Ed25519 public key")

    def check(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return check


def _prove(verified: Verified) -> tuple[Graph, float]:
    """Return the graph and its latency; refuse one that fails, strays or is too slow."""
    try:
        graph = Graph(verified.files["signal.onnx"])
        _check_golden(graph, verified.golden)
    except GRAPH_ERRORS as error:
        found, expected = f"signal.onnx fails: {error}", "a graph that runs"
        raise BundleRefused(Refusal.GOLDEN_MISMATCH, found, expected) from error
    p99_ms = measure_p99_ms(graph, verified.golden["features"][:1])
    budget_ms = verified.manifest.budgets["p99_ms"]
    if p99_ms > budget_ms:
        raise BundleRefused(Refusal.OVER_BUDGET, f"p99 {p99_ms:.3f} ms", f"at most {budget_ms} ms")
    return graph, p99_ms


def _check_golden(graph: Graph, golden: Golden) -> None:
    """Refuse a graph that, row by row as live rows come, strays from its golden answers."""
    rows = [graph.probabilities(row[None])[0] for row in golden["features"]]
    check_golden(np.array(rows, dtype=np.float32), golden["probabilities"], GOLDEN_TOLERANCE)
