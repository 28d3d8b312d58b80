"""What a candidate and the champion earned on the bars they share: what the gates read back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from research.backtest.scrutiny import Scrutiny
from research.evaluation.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Contest:
    """The candidate and the champion in one account each, on the bars that they share.

    Those are the candidate's gate bars of which the champion's decision is known, `share` of them.
    Where there is no such bar there are no accounts either: what is not known is not zero.
    `days_newer` is by how much the candidate's data end later than the champion's.
    """

    candidate: Metrics | None
    champion: Metrics | None
    share: float
    days_newer: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return both accounts, ready for JSON."""
        return {
            "candidate": self.candidate.to_dict() if self.candidate else None,
            "champion": self.champion.to_dict() if self.champion else None,
            "share": self.share,
            "days_newer": self.days_newer,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the contest that `to_dict` wrote."""
        return cls(
            candidate=Metrics(**raw["candidate"]) if raw["candidate"] else None,
            champion=Metrics(**raw["champion"]) if raw["champion"] else None,
            share=raw["share"],
            days_newer=raw.get("days_newer", 0.0),  # earlier builds did not look
        )


@dataclass(frozen=True, slots=True)
class Curves:
    """Equity at one close a day over the gate folds, by account: what a person sees side by side.

    `at_ms` int, ascending; each of `equity` is as long. Empty where an earlier build kept none.
    """

    at_ms: tuple[int, ...] = ()
    equity: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

    def to_dict(self) -> dict[str, Any]:
        """Return both, ready for JSON."""
        equity = {name: list(values) for name, values in self.equity.items()}
        return {"at_ms": list(self.at_ms), "equity": equity}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the curves that `to_dict` wrote."""
        equity = {name: tuple(values) for name, values in raw["equity"].items()}
        return cls(at_ms=tuple(raw["at_ms"]), equity=equity)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The candidate's gate folds, one account through all of them, it under stress, the contest.

    `champion_digest` names the bundle it was held against, '' where there was none; only then there
    is no contest. `funding_share` is that of the traded bars whose settlements are known.
    `scrutiny` is None in records of before it was asked.
    """

    folds: tuple[Metrics, ...]
    whole: Metrics
    stressed: Metrics
    contest: Contest | None
    champion_digest: str
    funding_share: float
    scrutiny: Scrutiny | None
    curves: Curves = field(default_factory=Curves)

    def to_dict(self) -> dict[str, Any]:
        """Return every account, ready for JSON."""
        return {
            "folds": [fold.to_dict() for fold in self.folds],
            "whole": self.whole.to_dict(),
            "stressed": self.stressed.to_dict(),
            "contest": self.contest.to_dict() if self.contest else None,
            "champion_digest": self.champion_digest,
            "funding_share": self.funding_share,
            "scrutiny": self.scrutiny.to_dict() if self.scrutiny else None,
            "curves": self.curves.to_dict(),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the accounts that `to_dict` wrote."""
        contest = Contest.from_dict(raw["contest"]) if raw.get("contest") else None
        if contest is None and raw["champion_digest"]:  # written before contests were kept
            contest = Contest(candidate=None, champion=None, share=0.0)
        return cls(
            folds=tuple(Metrics(**fold) for fold in raw["folds"]),
            whole=Metrics(**raw["whole"]),
            stressed=Metrics(**raw["stressed"]),
            contest=contest,
            champion_digest=raw["champion_digest"],
            funding_share=raw.get("funding_share", 0.0),  # earlier builds did not look
            scrutiny=Scrutiny.from_dict(raw["scrutiny"]) if raw.get("scrutiny") else None,
            curves=Curves.from_dict(raw["curves"]) if "curves" in raw else Curves(),
        )
