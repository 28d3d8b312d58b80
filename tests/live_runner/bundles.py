"""Small real bundles: a seeded linear model in ONNX, its manifest, golden rows, state and
signature.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from kernel.bundle import (
    PUBLICATION_SCHEMA,
    GraphSpec,
    Manifest,
    StateSlots,
    TensorSpec,
    publication_message,
)
from kernel.digest import canonical_json, sha256_hex
from kernel.features.registry import FEATURES, GROUPS, feature_hash
from kernel.trading_settings import TradingSettings
from live_runner.models.graph import Graph

TRADING = TradingSettings(
    min_confidence=0.4,
    min_prob_diff=0.05,
    take_profit_atr=2.0,
    stop_loss_atr=2.0,
    horizon_bars=12,
    risk_per_trade=0.02,
    max_notional_fraction=0.1,
    fee_bps=4.5,
    half_spread_bps=0.5,
    slippage_bps=1.0,
    max_daily_loss=0.03,
    max_weekly_drawdown=0.2,
    max_session_drawdown=0.1,
    max_consecutive_losses=5,
    pause_bars=4,
    initial_equity=10_000.0,
)
FEW = ("oi_change", "hourly_return", "rsi_14", "ema_stack", "funding_rate_norm", "session_hour_sin")


@dataclass(frozen=True)
class Publisher:
    """An Ed25519 key pair whose public half lies where runners look."""

    key_id: str
    private: Ed25519PrivateKey

    @classmethod
    def make(cls, keys_dir: Path | None, key_id: str = "test-key") -> "Publisher":
        private = Ed25519PrivateKey.generate()
        if keys_dir is not None:
            keys_dir.mkdir(parents=True, exist_ok=True)
            pem = private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            (keys_dir / f"{key_id}.pub").write_bytes(pem)
        return cls(key_id, private)

    def publish(self, folder: Path, symbol: str, epoch: int, **changes: object) -> None:
        """Write the folder's signature file; `changes` are signed over the usual fields."""
        body = {
            "schema": PUBLICATION_SCHEMA,
            "digest": folder.name,
            "symbol": symbol,
            "timeframe": "15m",
            "epoch": epoch,
            "request_digest": sha256_hex(b"request"),
            "approver": "a test",
            "key_id": self.key_id,
            "published_at_ms": 1_760_000_000_000,
            **changes,
        }
        signature = self.private.sign(publication_message(body))
        body["signature"] = base64.b64encode(signature).decode()
        beside = folder.parent / f".{folder.name}.signature"
        beside.write_bytes(canonical_json(body))
        beside.replace(folder / "signature")


def linear_model(seed: int, width: int, scale: float = 0.6, abstain: int | None = None) -> bytes:
    """Return a graph: missing inputs are 0, then Gemm and Softmax; votes are the answer three
    times. With a reason to `abstain` it gives that for every row.
    """
    rng = np.random.default_rng(seed)
    constants = [
        numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"),
        numpy_helper.from_array(
            (scale * rng.standard_normal((width, 3))).astype(np.float32), "weights"
        ),
        numpy_helper.from_array((0.3 * rng.standard_normal(3)).astype(np.float32), "bias"),
        numpy_helper.from_array(np.array([-1, 3, 3]), "by_base"),
    ]
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["present"]),
        helper.make_node("Tanh", ["present"], ["bounded"]),
        helper.make_node("Gemm", ["bounded", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Concat", ["probabilities"] * 3, ["flat"], axis=1),
        helper.make_node("Reshape", ["flat", "by_base"], ["votes"]),
    ]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 3]),
        helper.make_tensor_value_info("votes", TensorProto.FLOAT, [None, 3, 3]),
    ]
    if abstain is not None:
        constants.append(numpy_helper.from_array(np.array([0]), "first"))
        value = numpy_helper.from_array(np.array([abstain]))
        nodes += [
            helper.make_node("Shape", ["input"], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["rows"]),
            helper.make_node("ConstantOfShape", ["rows"], ["abstain"], value=value),
        ]
        outputs.append(helper.make_tensor_value_info("abstain", TensorProto.INT64, [None]))
    graph = helper.make_graph(
        nodes,
        "signal",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, width])],
        outputs,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_bundle(
    root: Path,
    symbol: str,
    *,
    seed: int,
    state: np.ndarray,
    state_open_ms: int,
    features: Sequence[str] = FEATURES,
    trading: TradingSettings = TRADING,
    cpu_ms: float = 1_000.0,
    signal: bytes | None = None,
    golden_shift: float = 0.0,
    abstain: int | None = None,
) -> Path:
    """Write an unsigned bundle and return its folder."""
    if signal is None:
        signal = linear_model(seed, len(features), abstain=abstain)
    rows = np.random.default_rng(seed).standard_normal((8, len(features))).astype(np.float32)
    rows[0, 0] = np.nan
    answers = Graph(linear_model(seed, len(features))).answers(rows).probabilities
    answers = answers + np.float32(golden_shift) * np.array([1, -1, 0], dtype=np.float32)
    golden = {"features": rows, "probabilities": answers.astype(np.float32)}
    if abstain is not None:
        golden["abstain"] = np.full(len(rows), abstain)
    files = {
        "golden.npz": _npz(**golden),
        "state.npz": _npz(state=state, bars=np.int64(state_open_ms)),
        "training_metadata.json": b"{}",
        "leak_certificate.json": b"{}",
        "improvement_report.md": b"# A test\n",
    }
    manifest = Manifest(
        symbol=symbol,
        timeframe="15m",
        features=tuple(features),
        feature_hash=feature_hash(tuple(features)),
        trading=trading,
        training_window={"start_ms": 0, "end_ms": state_open_ms},
        cutoff_ms=state_open_ms + 900_000,
        data_digest=sha256_hex(b"data"),
        code_revision="test",
        gate_report_digest=sha256_hex(b"gates"),
        bases=("one", "two", "three"),
        graphs=(_spec(signal, len(features), cpu_ms, abstain),),
        files={name: sha256_hex(data) for name, data in files.items()},
        max_bytes=1_000_000,
        state=tuple(StateSlots(group.name, group.state_size) for group in GROUPS),
    )
    folder = root / manifest.digest
    folder.mkdir(parents=True, exist_ok=True)
    files |= {"signal.onnx": signal, "manifest.json": manifest.to_bytes()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _spec(signal: bytes, width: int, cpu_ms: float, abstain: int | None) -> GraphSpec:
    reason = () if abstain is None else (TensorSpec("abstain", (None,), "int64"),)
    return GraphSpec(
        name="signal",
        inputs=(TensorSpec("input", (None, width), "float32"),),
        outputs=(
            TensorSpec("probabilities", (None, 3), "float32"),
            TensorSpec("votes", (None, 3, 3), "float32"),
            *reason,
        ),
        sha256=sha256_hex(signal),
        budget={"cpu_ms": cpu_ms, "max_bytes": 1_000_000},
    )


def rewrite_manifest(folder: Path, **changes: object) -> Path:
    """Copy a bundle with another manifest under that manifest's digest, and return the copy."""
    body = {**json.loads((folder / "manifest.json").read_bytes()), **changes}
    data = canonical_json(body)
    copy = folder.parent / sha256_hex(data)
    copy.mkdir(exist_ok=True)
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "manifest.json").write_bytes(data)
    return copy


def bold(settings: TradingSettings, **changes: float) -> TradingSettings:
    """Return settings with some of them changed."""
    return replace(settings, **changes)  # type: ignore[arg-type]


def _npz(**arrays: np.ndarray | np.generic) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
