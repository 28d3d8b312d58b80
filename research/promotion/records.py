"""What is asked of a person, and what the person answered: two small immutable records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Self, get_args

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import TidegateError
from research.gates.thresholds import thresholds_digest, too_good

Decision = Literal["approved", "declined"]
MAX_NAME = 200
KEPT_LATER = frozenset({"verdicts", "thresholds", "figures"})


class RecordAlteredError(TidegateError):
    """Say that a stored record does not hash to the digest that it carries."""


class DecisionRefusedError(TidegateError):
    """Say which rule a person's decision breaks."""


@dataclass(frozen=True)  # without slots, so that what is hashed once is kept
class PromotionRequest:
    """Ask a person to let one bundle trade, naming by digest everything the question rests on.

    `as_of_ms` is the end of the data that the candidate saw, `champion_digest` the bundle that it
    was compared with ('' where there was none). Times are milliseconds UTC. `verdicts` are the
    blocking checks that were green, each with the digest of the stored content that it judged;
    `thresholds` are those of `gates.yaml` that it passed, and `figures` what a person looks at
    first, `champion_score` only where there was one. Requests that were filed before any of these
    three was kept have none.
    """

    symbol: str
    timeframe: str
    week: str
    bundle_digest: str
    gate_report_digest: str
    data_digest: str
    as_of_ms: int
    champion_digest: str
    created_at_ms: int
    verdicts: Mapping[str, str] = field(default_factory=dict[str, str])
    thresholds: Mapping[str, Any] = field(default_factory=dict[str, Any])
    figures: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def thresholds_digest(self) -> str:
        """Return the digest of the thresholds, '' where none were kept."""
        return thresholds_digest(self.thresholds)

    @property
    def doubt(self) -> str:
        """Return what a person should look at before believing the figures, '' for nothing."""
        return too_good(self.figures.get("sharpe", 0.0), self.thresholds)

    @property
    def difference(self) -> str:
        """Return how the candidate's score stands to the champion's, in one phrase."""
        if "score" not in self.figures:
            return "its figures were not kept"
        score = self.figures["score"]
        if "champion_score" not in self.figures:
            return f"score {score:.4g}, no champion"
        held = self.figures["champion_score"]
        return f"score {score:.4g}, champion {held:.4g}, Δ {score - held:+.4g}"

    @cached_property
    def id(self) -> str:
        """Name the request by its evidence, so that asking the same thing twice is one request."""
        evidence = self._hashed()
        del evidence["created_at_ms"]
        return f"{self.symbol}-{self.week}-{sha256_hex(canonical_json(evidence))[:12]}"

    @cached_property
    def digest(self) -> str:
        """Return the hex digest of every field; an approval names it."""
        return sha256_hex(canonical_json(self._hashed()))

    def to_dict(self) -> dict[str, object]:
        """Return the fields with `id` and `digest`, ready for canonical JSON."""
        return {"id": self.id, "digest": self.digest, **asdict(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Self:
        """Rebuild the record; raise RecordAlteredError where it does not hash to its own digest."""
        names = {one.name for one in fields(cls)} - (KEPT_LATER - set(raw))
        _require_keys("request", raw, {"id", "digest", *names})
        record = cls(**{name: raw[name] for name in names})  # type: ignore[arg-type]
        _require_digest("request", raw, {"id": record.id, "digest": record.digest})
        return record

    def _hashed(self) -> dict[str, Any]:
        """Return what is hashed; what a request has none of hashes as before it was kept."""
        return {name: one for name, one in asdict(self).items() if one or name not in KEPT_LATER}


@dataclass(frozen=True, slots=True)
class Approval:
    """Record who answered a request, how, and until when the answer holds (milliseconds UTC)."""

    request_id: str
    request_digest: str
    approver: str
    decision: Decision
    note: str
    at_ms: int
    expires_at_ms: int

    def __post_init__(self) -> None:
        if not 0 < len(self.approver.strip()) <= MAX_NAME:
            raise DecisionRefusedError(
                f"decision on {self.request_id}: found the approver {self.approver!r}, "
                f"expected a person's name of at most {MAX_NAME} characters"
            )
        if self.decision not in get_args(Decision):
            raise DecisionRefusedError(
                f"decision on {self.request_id}: found {self.decision!r}, "
                f"expected one of {get_args(Decision)}"
            )
        if self.decision == "declined" and not self.note.strip():
            raise DecisionRefusedError(
                f"decline of {self.request_id}: found an empty note, expected the reason"
            )
        if self.expires_at_ms <= self.at_ms:
            raise DecisionRefusedError(
                f"decision on {self.request_id}: expires at {self.expires_at_ms} ms, "
                f"expected a time after {self.at_ms} ms"
            )

    @property
    def digest(self) -> str:
        """Return the hex digest of every field; the audit log keeps it."""
        return sha256_hex(canonical_json(asdict(self)))

    def to_dict(self) -> dict[str, object]:
        """Return the fields with `digest`, ready for canonical JSON."""
        return {"digest": self.digest, **asdict(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Self:
        """Rebuild the record; raise RecordAlteredError where it does not hash to its own digest."""
        _require_keys("approval", raw, {"digest", *(field.name for field in fields(cls))})
        record = cls(**{field.name: raw[field.name] for field in fields(cls)})  # type: ignore[arg-type]
        _require_digest("approval", raw, {"digest": record.digest})
        return record


def _require_keys(what: str, raw: Mapping[str, object], expected: set[str]) -> None:
    if set(raw) != expected:
        raise RecordAlteredError(f"{what}: found keys {sorted(raw)}, expected {sorted(expected)}")


def _require_digest(what: str, raw: Mapping[str, object], computed: Mapping[str, str]) -> None:
    for key, expected in computed.items():
        if raw[key] != expected:
            raise RecordAlteredError(
                f"{what}: found {key} {raw[key]!r}, its fields hash to {expected!r}"
            )
