"""The manifest of a bundle: everything that its files do not say themselves."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypedDict, TypeVar, cast

from kernel.bars import TIMEFRAME_MS
from kernel.decision import CLASSES
from kernel.digest import canonical_json, sha256_hex
from kernel.features.registry import FEATURES, feature_hash
from kernel.refusal import BundleRefused, Refusal, shortened
from kernel.trading_settings import TradingSettings

SCHEMA = "tidegate.bundle/3"
FLAT_SCHEMA = "tidegate.bundle/2"
SIGNAL = "signal"
GOLDEN_FILE = "golden.npz"
STATE_FILE = "state.npz"
REQUIRED_FILES = (GOLDEN_FILE, STATE_FILE)
DTYPES = ("float32", "int64")
# Until graphs became a list, a bundle was these six files and one graph of three bases.
FLAT_FILES = (
    "signal.onnx",
    GOLDEN_FILE,
    STATE_FILE,
    "training_metadata.json",
    "leak_certificate.json",
    "improvement_report.md",
)
FLAT_BASES = ("random_forest", "xgboost", "lightgbm")
_FLAT_KEYS = (
    "schema",
    "symbol",
    "timeframe",
    "classes",
    "features",
    "feature_hash",
    "trading",
    "training_window",
    "cutoff_ms",
    "data_digest",
    "code_revision",
    "tracking_run",
    "gate_report_digest",
    "budgets",
    "files",
)
Entry = TypeVar("Entry")
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FILE = re.compile(r"[a-z][a-z0-9_-]{0,63}\.(?:json|npz|md|png)")
_LATEST_MS = 253_402_300_800_000  # year 10000
_MOST_MS = 60_000.0
_MOST_ENTRIES = 1_000
_MOST_SIZE = 100_000


class TrainingWindow(TypedDict):
    """First and last moment of the training rows, milliseconds UTC."""

    start_ms: int
    end_ms: int


class Budgets(TypedDict):
    """What a graph may cost: thread CPU time of a row in milliseconds, its file in bytes."""

    cpu_ms: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a graph; None in `shape` is the number of rows, which is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph of a bundle: what goes in and comes out, the digest of its file, what it may
    cost.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sha256: str
    budget: Budgets

    @property
    def file(self) -> str:
        """Return the name of its file in the bundle's folder."""
        return f"{self.name}.onnx"

    def gives(self, output: str) -> bool:
        """Return whether the graph has that output."""
        return any(one.name == output for one in self.outputs)


@dataclass(frozen=True, slots=True)
class HullBound:
    """How far from the training data the graph still decides.

    `distance` is the largest Mahalanobis distance over `features` that is taken; of the training
    rows, a share of `target_rate` lay beyond.
    """

    features: tuple[str, ...]
    distance: float
    target_rate: float


@dataclass(frozen=True, slots=True)
class StateSlots:
    """How many numbers of the feature state belong to a group of features."""

    group: str
    slots: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is for, what it was made of and the SHA-256 of each of its files.

    `features` are the columns of the signal graph's input, in order; `bases` name its votes.
    `graphs` is an open list, and `files` holds the digests of all that is no graph. `cutoff_ms` is
    the moment up to which `state.npz` has seen bars (close times), `state` its parts in order.
    From `expires_ms` on, None for never, the bundle is refused. `max_bytes` bounds all files
    together. Digests are 64 hex characters. A manifest of an earlier form is brought forward as it
    is read, so that its own bytes and digest are those of the stored file, not of `to_bytes`.
    """

    symbol: str
    timeframe: str
    features: tuple[str, ...]
    feature_hash: str
    bases: tuple[str, ...]
    trading: TradingSettings
    training_window: TrainingWindow
    cutoff_ms: int
    data_digest: str
    code_revision: str
    gate_report_digest: str
    graphs: tuple[GraphSpec, ...]
    files: Mapping[str, str]
    max_bytes: int
    state: tuple[StateSlots, ...]
    hull: HullBound | None = None
    expires_ms: int | None = None
    classes: tuple[str, ...] = CLASSES
    schema: str = SCHEMA

    def to_bytes(self) -> bytes:
        """Return the manifest as the canonical JSON that is stored, hashed and signed."""
        return canonical_json({**asdict(self), "files": dict(self.files)})

    @property
    def digest(self) -> str:
        """Return the bundle's digest, which is the name of its folder."""
        return sha256_hex(self.to_bytes())

    @property
    def digests(self) -> dict[str, str]:
        """Return the digest of every file but the manifest, by name."""
        return {**{graph.file: graph.sha256 for graph in self.graphs}, **self.files}

    @property
    def signal(self) -> GraphSpec:
        """Return the graph that decides."""
        return next(graph for graph in self.graphs if graph.name == SIGNAL)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a manifest; raises BundleRefused, and nothing else, for whatever it is not."""
        body = parse_canonical(data, Refusal.MALFORMED_MANIFEST)
        schema = body.get("schema")
        if schema not in (FLAT_SCHEMA, SCHEMA):
            raise BundleRefused(Refusal.UNKNOWN_SCHEMA, schema, f"one of {FLAT_SCHEMA}, {SCHEMA}")
        flat = schema == FLAT_SCHEMA or "graphs" not in body
        try:
            manifest = cls(**(_typed_flat(body) if flat else _typed(body)))
        except ValueError as error:
            raise BundleRefused(
                Refusal.MALFORMED_MANIFEST, str(error), "a manifest of this schema"
            ) from error
        if (_flat_bytes(manifest, body) if flat else manifest.to_bytes()) != data:
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
    """Return the constructor's arguments of a manifest with a list of graphs."""
    mapping(body, "manifest", tuple(Manifest.__dataclass_fields__))
    graphs = _each(body["graphs"], "graphs", _graph)
    _distinct([graph.name for graph in graphs], "graphs")
    if SIGNAL not in {graph.name for graph in graphs}:
        raise ValueError(f"graphs: found {shortened(body['graphs'])}, expected one named {SIGNAL}")
    expires = body["expires_ms"]
    common = _common(body)
    return {
        **common,
        "bases": _distinct(_each(body["bases"], "bases", _name), "bases"),
        "graphs": graphs,
        "files": _files(body["files"]),
        "max_bytes": whole(body["max_bytes"], "max_bytes", 1),
        "state": _each(body["state"], "state", _slots),
        "hull": None if body["hull"] is None else _hull(body["hull"], common["features"]),
        "expires_ms": None if expires is None else whole(expires, "expires_ms", 1),
    }


def _typed_flat(body: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments of a manifest with six files, brought forward.

    Which groups its state has was not written: they are the first of today's, for groups are only
    ever added at the end.
    """
    mapping(body, "manifest", _FLAT_KEYS)
    common = _common(body)
    files = mapping(body["files"], "files", FLAT_FILES)
    digests = {name: hex_digest(files[name], f"files.{name}") for name in FLAT_FILES}
    text(body["tracking_run"], "tracking_run")
    budget = _budgets(body["budgets"], "budgets", _cost_field(body))
    votes = len(CLASSES) * len(FLAT_BASES)
    signal = GraphSpec(
        name=SIGNAL,
        inputs=(TensorSpec("input", (None, len(common["features"])), "float32"),),
        outputs=(
            TensorSpec("probabilities", (None, len(CLASSES)), "float32"),
            TensorSpec("votes", (None, votes), "float32"),
        ),
        sha256=digests.pop("signal.onnx"),
        budget=budget,
    )
    return {
        **common,
        "schema": SCHEMA,
        "bases": FLAT_BASES,
        "graphs": (signal,),
        "files": digests,
        "max_bytes": budget["max_bytes"],
        "state": (),
    }


def _common(body: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that every form of the manifest spells alike."""
    window = mapping(body["training_window"], "training_window", ("start_ms", "end_ms"))
    start_ms = whole(window["start_ms"], "training_window.start_ms")
    end_ms = whole(window["end_ms"], "training_window.end_ms", start_ms)
    return {
        "schema": body["schema"],
        "symbol": text(body["symbol"], "symbol"),
        "timeframe": _one_of(body["timeframe"], "timeframe", tuple(TIMEFRAME_MS)),
        "classes": _exactly(body["classes"], "classes", CLASSES),
        "features": _names(body["features"], "features"),
        "feature_hash": hex_digest(body["feature_hash"], "feature_hash"),
        "trading": TradingSettings.from_dict(object_of(body["trading"], "trading")),
        "training_window": TrainingWindow(start_ms=start_ms, end_ms=end_ms),
        "cutoff_ms": whole(body["cutoff_ms"], "cutoff_ms"),
        "data_digest": hex_digest(body["data_digest"], "data_digest"),
        "code_revision": text(body["code_revision"], "code_revision"),
        "gate_report_digest": hex_digest(body["gate_report_digest"], "gate_report_digest"),
    }


def _cost_field(body: Mapping[str, Any]) -> str:
    """Return how a flat manifest spells what a row may cost.

    Those of version 2 promised wall clock: never less than the CPU time of the same work, so it
    still is a bound that can be kept.
    """
    return "p99_ms" if body["schema"] == FLAT_SCHEMA else "cpu_ms"


def _flat_bytes(manifest: Manifest, body: dict[str, Any]) -> bytes:
    """Return a flat manifest's canonical JSON with every number as this code spells it."""
    budget = manifest.signal.budget
    budgets = {_cost_field(body): budget["cpu_ms"], "max_bytes": budget["max_bytes"]}
    return canonical_json({**body, "trading": manifest.trading.to_dict(), "budgets": budgets})


def _graph(value: Any, name: str) -> GraphSpec:
    found = mapping(value, name, tuple(GraphSpec.__dataclass_fields__))
    graph = GraphSpec(
        name=_name(found["name"], f"{name}.name"),
        inputs=_each(found["inputs"], f"{name}.inputs", _tensor),
        outputs=_each(found["outputs"], f"{name}.outputs", _tensor),
        sha256=hex_digest(found["sha256"], f"{name}.sha256"),
        budget=_budgets(found["budget"], f"{name}.budget", "cpu_ms"),
    )
    _distinct([one.name for one in graph.inputs], f"{name}.inputs")
    _distinct([one.name for one in graph.outputs], f"{name}.outputs")
    return graph


def _tensor(value: Any, name: str) -> TensorSpec:
    found = mapping(value, name, tuple(TensorSpec.__dataclass_fields__))
    return TensorSpec(
        name=_name(found["name"], f"{name}.name"),
        shape=_each(found["shape"], f"{name}.shape", _size),
        dtype=_one_of(found["dtype"], f"{name}.dtype", DTYPES),
    )


def _size(value: Any, name: str) -> int | None:
    return None if value is None else whole(value, name, 1, _MOST_SIZE)


def _hull(value: Any, features: tuple[str, ...]) -> HullBound:
    found = mapping(value, "hull", tuple(HullBound.__dataclass_fields__))
    names = _names(found["features"], "hull.features")
    if not set(names) <= set(features):
        raise ValueError(f"hull.features: found {shortened(names)}, expected some of features")
    return HullBound(
        features=names,
        distance=_number(found["distance"], "hull.distance", 1e300),
        target_rate=_number(found["target_rate"], "hull.target_rate", 1.0),
    )


def _slots(value: Any, name: str) -> StateSlots:
    found = mapping(value, name, tuple(StateSlots.__dataclass_fields__))
    return StateSlots(
        group=_name(found["group"], f"{name}.group"),
        slots=whole(found["slots"], f"{name}.slots", 0, _MOST_SIZE),
    )


def _files(value: Any) -> dict[str, str]:
    """Return the digests of files that are no graph; only names of plain formats are taken."""
    found = object_of(value, "files")
    missing = [name for name in REQUIRED_FILES if name not in found]
    odd = [name for name in found if not _FILE.fullmatch(name) or name == "manifest.json"]
    if missing or odd or len(found) > _MOST_ENTRIES:
        raise ValueError(
            f"files: found {shortened(sorted(found))}, expected {' and '.join(REQUIRED_FILES)}, "
            "and others of json, npz, md or png"
        )
    return {name: hex_digest(digest, f"files.{name}") for name, digest in found.items()}


def _budgets(value: Any, name: str, cost_field: str) -> Budgets:
    found = mapping(value, name, (cost_field, "max_bytes"))
    return Budgets(
        cpu_ms=_number(found[cost_field], f"{name}.{cost_field}", _MOST_MS),
        max_bytes=whole(found["max_bytes"], f"{name}.max_bytes", 1),
    )


def _number(value: Any, name: str, most: float) -> float:
    """Return a number above 0; raises ValueError naming the field."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= most:
        raise ValueError(f"{name}: found {shortened(value)}, expected above 0, up to {most:g}")
    return float(value)


def _each(value: Any, name: str, read: Callable[[Any, str], Entry]) -> tuple[Entry, ...]:
    """Return every entry of a list that is not empty, read; raises ValueError naming the entry."""
    entries = cast("list[Any]", value if isinstance(value, list) else [])
    if not 0 < len(entries) <= _MOST_ENTRIES:
        raise ValueError(f"{name}: found {shortened(entries)}, expected a list")
    return tuple(read(one, f"{name}[{at}]") for at, one in enumerate(entries))


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{name}: found {shortened(value)}, expected lower-case letters and _")
    return value


def _names(value: Any, name: str) -> tuple[str, ...]:
    names = tuple(cast("list[Any]", value if isinstance(value, list) else []))
    if not names or not all(isinstance(one, str) for one in names):
        raise ValueError(f"{name}: found {shortened(names)}, expected a list of names")
    return _distinct(names, name)


def _distinct(names: Sequence[str], name: str) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(f"{name}: found {shortened(names)}, expected each name once")
    return tuple(names)


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
