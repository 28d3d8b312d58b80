"""The manifest of a bundle: everything that its files do not say themselves."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypedDict, cast

from kernel.bars import TIMEFRAME_MS
from kernel.decision import CLASSES
from kernel.digest import canonical_json, sha256_hex
from kernel.features.registry import FEATURES, feature_hash
from kernel.refusal import BundleRefused, Refusal, shortened
from kernel.trading_settings import TradingSettings

SCHEMA = "tidegate.bundle/3"
# How each schema that is still read spells what a row may cost. Bundles of version 2 promised wall
# clock: never less than the CPU time of the same work, so it still is a bound that can be kept.
COST_FIELD: Mapping[str, str] = {"tidegate.bundle/2": "p99_ms", SCHEMA: "cpu_ms"}
FILES = (
    "signal.onnx",
    "golden.npz",
    "state.npz",
    "training_metadata.json",
    "leak_certificate.json",
    "improvement_report.md",
)
_HEX = re.compile(r"[0-9a-f]{64}")
_LATEST_MS = 253_402_300_800_000  # year 10000
_MOST_MS = 60_000.0


class TrainingWindow(TypedDict):
    """First and last moment of the training rows, milliseconds UTC."""

    start_ms: int
    end_ms: int


class Budgets(TypedDict):
    """What the bundle may cost: thread CPU time of a row in milliseconds, its files in bytes."""

    cpu_ms: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is for, what it was made of and the SHA-256 of each of its files.

    `features` are the columns of the graph's input, in order; `cutoff_ms` is the moment up to which
    `state.npz` has seen bars (close times). Digests are 64 hex characters. A manifest of an earlier
    schema keeps that schema, and with it its bytes and its digest.
    """

    symbol: str
    timeframe: str
    features: tuple[str, ...]
    feature_hash: str
    trading: TradingSettings
    training_window: TrainingWindow
    cutoff_ms: int
    data_digest: str
    code_revision: str
    tracking_run: str
    gate_report_digest: str
    budgets: Budgets
    files: Mapping[str, str]
    classes: tuple[str, ...] = CLASSES
    schema: str = SCHEMA

    def to_bytes(self) -> bytes:
        """Return the manifest as the canonical JSON that is stored, hashed and signed."""
        stored = {
            COST_FIELD[self.schema]: self.budgets["cpu_ms"],
            "max_bytes": self.budgets["max_bytes"],
        }
        return canonical_json({**asdict(self), "files": dict(self.files), "budgets": stored})

    @property
    def digest(self) -> str:
        """Return the bundle's digest, which is the name of its folder."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a manifest; raises BundleRefused, and nothing else, for whatever it is not."""
        body = parse_canonical(data, Refusal.MALFORMED_MANIFEST)
        schema = body.get("schema")
        if not isinstance(schema, str) or schema not in COST_FIELD:
            raise BundleRefused(Refusal.UNKNOWN_SCHEMA, schema, f"one of {', '.join(COST_FIELD)}")
        try:
            manifest = cls(**_typed(body))
        except ValueError as error:
            raise BundleRefused(
                Refusal.MALFORMED_MANIFEST, str(error), "a manifest of this schema"
            ) from error
        if manifest.to_bytes() != data:
            raise BundleRefused(
                Refusal.MALFORMED_MANIFEST,
                "numbers spelled otherwise",
                "20.0 for a float, 20 for an int",
            )
        _check_features(manifest)
        return manifest


def parse_canonical(data: bytes, reason: Refusal) -> dict[str, Any]:
    """Return the JSON object whose canonical spelling is `data`; refuse with the reason if none."""
    try:
        body: Any = json.loads(data)
        canonical = isinstance(body, dict) and canonical_json(body) == data
    except (ValueError, RecursionError) as error:  # includes bad UTF-8, NaN and huge whole numbers
        raise BundleRefused(reason, str(error), "a canonical JSON object") from error
    if not canonical:
        raise BundleRefused(reason, repr(data[:80]), "a canonical JSON object")
    return cast("dict[str, Any]", body)


def text(value: Any, name: str, most: int = 200) -> str:
    """Return a text of 1 to `most` characters; raises ValueError naming the field."""
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise ValueError(f"{name}: found {shortened(value)}, expected 1 to {most} characters")
    return value


def hex_digest(value: Any, name: str) -> str:
    """Return a SHA-256 in hex; raises ValueError naming the field."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError(f"{name}: found {shortened(value)}, expected 64 lower-case hex characters")
    return value


def whole(value: Any, name: str, least: int = 0, most: int = _LATEST_MS) -> int:
    """Return a whole number within bounds; raises ValueError naming the field."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}: found {shortened(value)}, expected {least} to {most}")
    return value


def mapping(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return an object with exactly these keys; raises ValueError naming the field."""
    found = object_of(value, name)
    if set(found) != set(keys):
        raise ValueError(f"{name}: found {shortened(found)}, expected the keys {sorted(keys)}")
    return found


def object_of(value: Any, name: str) -> dict[str, Any]:
    """Return an object with any keys; raises ValueError naming the field."""
    found = cast("dict[str, Any] | None", value if isinstance(value, dict) else None)
    if found is None:
        raise ValueError(
            f"{name}: found {type(cast('object', value)).__name__}, expected an object"
        )
    return found


def _typed(body: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments, every value checked."""
    mapping(body, "manifest", tuple(Manifest.__dataclass_fields__))
    window = mapping(body["training_window"], "training_window", ("start_ms", "end_ms"))
    start_ms = whole(window["start_ms"], "training_window.start_ms")
    end_ms = whole(window["end_ms"], "training_window.end_ms", start_ms)
    files = mapping(body["files"], "files", FILES)
    return {
        "schema": body["schema"],
        "symbol": text(body["symbol"], "symbol"),
        "timeframe": _one_of(body["timeframe"], "timeframe", tuple(TIMEFRAME_MS)),
        "classes": _exactly(body["classes"], "classes", CLASSES),
        "features": _names(body["features"]),
        "feature_hash": hex_digest(body["feature_hash"], "feature_hash"),
        "trading": TradingSettings.from_dict(object_of(body["trading"], "trading")),
        "training_window": TrainingWindow(start_ms=start_ms, end_ms=end_ms),
        "cutoff_ms": whole(body["cutoff_ms"], "cutoff_ms"),
        "data_digest": hex_digest(body["data_digest"], "data_digest"),
        "code_revision": text(body["code_revision"], "code_revision"),
        "tracking_run": text(body["tracking_run"], "tracking_run"),
        "gate_report_digest": hex_digest(body["gate_report_digest"], "gate_report_digest"),
        "budgets": _budgets(body["budgets"], COST_FIELD[body["schema"]]),
        "files": {name: hex_digest(files[name], f"files.{name}") for name in FILES},
    }


def _budgets(value: Any, cost_field: str) -> Budgets:
    found = mapping(value, "budgets", (cost_field, "max_bytes"))
    cpu_ms = found[cost_field]
    number = isinstance(cpu_ms, int | float) and not isinstance(cpu_ms, bool)
    if not number or not 0 < cpu_ms <= _MOST_MS:
        raise ValueError(
            f"budgets.{cost_field}: found {shortened(cpu_ms)}, expected 0 to {_MOST_MS:g}"
        )
    return Budgets(
        cpu_ms=float(cpu_ms), max_bytes=whole(found["max_bytes"], "budgets.max_bytes", 1)
    )


def _names(value: Any) -> tuple[str, ...]:
    names = tuple(cast("list[Any]", value if isinstance(value, list) else []))
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"features: found {shortened(names)}, expected a list of names")
    if len(set(names)) != len(names):
        raise ValueError(f"features: found {shortened(names)}, expected each name once")
    return names


def _one_of(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: found {shortened(value)}, expected one of {allowed}")
    return value


def _exactly(value: Any, name: str, expected: tuple[str, ...]) -> tuple[str, ...]:
    if value != list(expected):
        raise ValueError(f"{name}: found {shortened(value)}, expected {list(expected)}")
    return expected


def _check_features(manifest: Manifest) -> None:
    """Refuse features that this kernel lacks or computes differently."""
    unknown = [name for name in manifest.features if name not in FEATURES]
    if unknown:
        raise BundleRefused(Refusal.UNKNOWN_FEATURE, unknown, "names of the kernel's registry")
    ours = feature_hash(manifest.features)
    if manifest.feature_hash != ours:
        raise BundleRefused(Refusal.WRONG_FEATURE_HASH, manifest.feature_hash, ours)
