"""What a candidate and the champion earned on the same bars: figures that the gates read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from research.evaluation.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Accounts:
    """The candidate's gate folds, one account through all of them, it under stress, the champion's.

    `champion_digest` names the bundle it was held against, '' where there was none; where the
    champion was not traded `without_champion` says why.
    """

    folds: tuple[Metrics, ...]
    whole: Metrics
    stressed: Metrics
    champion: Metrics | None
    champion_digest: str
    without_champion: str

    def to_dict(self) -> dict[str, Any]:
        """Return every account, ready for JSON."""
        return {
            "folds": [fold.to_dict() for fold in self.folds],
            "whole": self.whole.to_dict(),
            "stressed": self.stressed.to_dict(),
            "champion": self.champion.to_dict() if self.champion else None,
            "champion_digest": self.champion_digest,
            "without_champion": self.without_champion,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the accounts that `to_dict` wrote."""
        return cls(
            folds=tuple(Metrics(**fold) for fold in raw["folds"]),
            whole=Metrics(**raw["whole"]),
            stressed=Metrics(**raw["stressed"]),
            champion=Metrics(**raw["champion"]) if raw["champion"] else None,
            champion_digest=raw["champion_digest"],
            without_champion=raw["without_champion"],
        )
