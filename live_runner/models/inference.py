"""A verified bundle, loaded and proven to compute here what it computed where it was made."""

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
from kernel.decision import Abstain, doubt_of
from kernel.features.registry import FEATURES, warmup_bars
from kernel.inference import RowCost, cost_of_a_row
from live_runner.models.graph import GRAPH_ERRORS, Graph

GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A bundle that passed every check; nothing in it changes.

    `columns` picks the model's inputs out of FEATURES, which have their values after `warmup_bars`
    bars. `state` float64[S] is the feature state after the bar that opens at `state_open_ms`.
    `cost` is that of one row, measured here.
    """

    manifest: Manifest
    digest: str
    epoch: int
    graph: Graph
    columns: tuple[int, ...]
    warmup_bars: int
    state: NDArray[np.float64]
    state_open_ms: int
    cost: RowCost

    def judge(self, features: Sequence[float]) -> tuple[list[float], Abstain]:
        """Return (p_sell, p_hold, p_buy) of one row in the order of FEATURES, and whether its
        graph abstains.
        """
        row = [[features[column] for column in self.columns]]
        answers = self.graph.answers(np.array(row, dtype=np.float32))
        return answers.probabilities[0].tolist(), doubt_of(int(answers.abstain[0]))


def load_bundle(
    folder: Path,
    *,
    symbol: str,
    timeframe: str,
    keys_dir: Path,
    above_epoch: int,
    now_ms: int,
) -> LoadedBundle:
    """Verify a bundle folder at the market's time `now_ms`, load its graph and prove it.

    Raises BundleRefused at the first broken rule.
    """
    keys = read_keys(keys_dir)
    verified = verify(
        folder,
        symbol=symbol,
        timeframe=timeframe,
        keys=keys,
        above_epoch=above_epoch,
        now_ms=now_ms,
    )
    graph = _graph(verified)
    return LoadedBundle(
        manifest=verified.manifest,
        digest=verified.digest,
        epoch=verified.publication["epoch"],
        graph=graph,
        columns=tuple(FEATURES.index(name) for name in verified.manifest.features),
        warmup_bars=warmup_bars(verified.manifest.features),
        state=verified.state,
        state_open_ms=verified.state_open_ms,
        cost=_affordable_cost(graph, verified),
    )


def read_keys(folder: Path) -> dict[str, Verifier]:
    """Return a verifier for each Ed25519 key in `<folder>/<key_id>.pub` (PEM).

    Raises BundleRefused for a file that is none or does not read: no bundle is trusted while the
    keys are in doubt.
    """
    try:
        return {path.stem: _verifier(path) for path in sorted(folder.glob("*.pub"))}
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
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


def _graph(verified: Verified) -> Graph:
    """Return the graph; refuse one that fails, or strays from its golden answers."""
    try:
        graph = Graph(verified.files[verified.manifest.signal.file])
        _check_golden(graph, verified.golden)
    except GRAPH_ERRORS as error:
        raise BundleRefused(
            Refusal.GOLDEN_MISMATCH, f"signal.onnx fails: {error}", "a graph that runs"
        ) from error
    return graph


def _affordable_cost(graph: Graph, verified: Verified) -> RowCost:
    """Return what a row costs on this machine; refuse one above the CPU time that was promised."""
    cost = cost_of_a_row(graph.answers, verified.golden["features"])
    budget_ms = verified.manifest.signal.budget["cpu_ms"]
    if cost.cpu_ms > budget_ms:
        found = f"{cost.cpu_ms:.3f} ms of CPU a row"
        raise BundleRefused(Refusal.OVER_BUDGET, found, f"at most {budget_ms:g} ms")
    return cost


def _check_golden(graph: Graph, golden: Golden) -> None:
    """Refuse a graph that, row by row as live rows come, strays from its golden answers."""
    rows = [graph.answers(row[None]) for row in golden["features"]]
    check_golden(
        np.concatenate([row.probabilities for row in rows]),
        golden["probabilities"],
        GOLDEN_TOLERANCE,
    )
    check_golden(np.concatenate([row.abstain for row in rows]), golden["abstain"], GOLDEN_TOLERANCE)
