"""What a model knows: when the market moves, which side a move takes, and whether it is more than a
table knows.

Log-loss over three classes is one figure for two questions. HOLD or not is timing; the side of a
move is direction. A model may be worth something in one and nothing in the other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.evaluation.bootstrap import Interval, areas, draws, interval, means

SELL = CLASSES.index("SELL")
HOLD = CLASSES.index("HOLD")
BUY = CLASSES.index("BUY")
LEAST_PROBABILITY = 1e-6
COIN = math.log(2.0)
STACK = "stack"
Kind = Literal["stack", "base", "reference"]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """What one model said of the rows, float64[n,3]; NaN where it was not asked."""

    model: str
    kind: Kind
    probabilities: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Skill:
    """One model on the labelled rows of one block, or of all where `block` is None.

    `over_prior` and `over_calendar` are the share of the log-loss of the class prior and of the
    calendar table that the model saves: 0 is as good, above 0 better. `timing` is HOLD or not,
    `direction` the side given a move, each with log-loss and area under the ROC curve, where 0.5
    tells nothing; a coin has a direction loss of 0.6931. None where a figure has no value.
    """

    model: str
    kind: Kind
    block: int | None
    rows: int
    moves: int
    log_loss: float
    over_prior: Interval | None
    over_calendar: Interval | None
    timing_loss: float
    timing_auc: Interval | None
    direction_loss: float | None
    direction_auc: Interval | None


@dataclass(frozen=True, slots=True)
class SkillReport:
    """Every model on the same rows, the stack first, and in a sentence what the stack knows."""

    rows: tuple[Skill, ...]
    sentence: str

    @property
    def stack(self) -> Skill:
        """Return the stack's figures over all blocks."""
        return next(one for one in self.rows if one.kind == "stack" and one.block is None)

    def to_record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    @classmethod
    def from_record(cls, raw: Mapping[str, Any]) -> Self:
        """Return the report that `to_record` wrote."""
        rows = (Skill(**one | _intervals(one)) for one in raw["rows"])
        return cls(rows=tuple(rows), sentence=raw["sentence"])

    def table(self) -> list[dict[str, str]]:
        """Return a line for each model over all blocks, for a person to read."""
        return [
            {
                "model": one.model,
                "log-loss": f"{one.log_loss:.4f}",
                "skill over the prior": _share(one.over_prior),
                "over the calendar": _share(one.over_calendar),
                "timing AUC": _area(one.timing_auc),
                "direction AUC": _area(one.direction_auc),
                "direction loss": _figure(one.direction_loss),
                "rows": f"{one.rows:,}",
            }
            for one in self.rows
            if one.block is None
        ]


def _intervals(one: Mapping[str, Any]) -> dict[str, Any]:
    stored = ("over_prior", "over_calendar", "timing_auc", "direction_auc")
    return {name: Interval(**one[name]) for name in stored if one[name] is not None}


def measure(
    said: Sequence[Said],
    y: NDArray[np.int8],
    block: NDArray[np.int64],
    *,
    prior: str,
    calendar: str,
    block_rows: int,
    seed: int,
) -> SkillReport:
    """Return the skill of each model on the labelled rows (y ≥ 0) of consecutive blocks.

    Rows `block_rows` apart are taken to be independent. `prior` and `calendar` name the references
    that skill is stated against. The stack has its figures block by block as well. A model that
    was asked about some rows only is held against the references on those.
    """
    labelled = y >= 0
    known = [
        Said(one.model, one.kind, one.probabilities[labelled].astype(np.float64)) for one in said
    ]
    truth = y[labelled]
    at_block = block[labelled]
    against = {one.model: _losses(one.probabilities, truth) for one in known}
    rows: list[Skill] = []
    drawn: dict[int, Float64] = {}  # by the number of rows: the same for all models
    for one in known:
        blocks = [None, *np.unique(at_block).tolist()] if one.kind == "stack" else [None]
        for number in blocks:
            inside = np.isfinite(one.probabilities[:, HOLD])
            if number is not None:
                inside &= at_block == number
            at = np.flatnonzero(inside)
            if len(at):
                if len(at) not in drawn:
                    drawn[len(at)] = draws(len(at), block_rows, seed)
                held = (against[prior][at], against[calendar][at])
                rows.append(
                    _skill(one, number, one.probabilities[at], truth[at], held, drawn[len(at)])
                )
    stack = next(one for one in rows if one.kind == "stack" and one.block is None)
    return SkillReport(tuple(rows), sentence(stack))


def _skill(
    one: Said,
    block: int | None,
    p: Float64,
    y: NDArray[np.int8],
    references: tuple[Float64, Float64],
    drawn: Float64,
) -> Skill:
    losses = _losses(p, y)
    over_prior, over_calendar = (_saved(losses, reference, drawn) for reference in references)
    held = y == HOLD
    moved = np.flatnonzero(~held)
    hold = p[:, HOLD]
    buy = p[moved, BUY] / np.maximum(p[moved, SELL] + p[moved, BUY], LEAST_PROBABILITY)
    bought = y[moved] == BUY
    return Skill(
        model=one.model,
        kind=one.kind,
        block=block,
        rows=len(y),
        moves=len(moved),
        log_loss=float(losses.mean()),
        over_prior=over_prior,
        over_calendar=over_calendar,
        timing_loss=float(_two_way(hold, held).mean()),
        timing_auc=_area_under(hold, held, drawn),
        direction_loss=float(_two_way(buy, bought).mean()) if len(moved) else None,
        direction_auc=_area_under(buy, bought, drawn[:, moved]),
    )


def _losses(p: Float64, y: NDArray[np.int8]) -> Float64:
    return -np.log(np.maximum(p[np.arange(len(y)), y], LEAST_PROBABILITY))


def _two_way(p: Float64, hit: NDArray[np.bool_]) -> Float64:
    return -np.log(np.maximum(np.where(hit, p, 1.0 - p), LEAST_PROBABILITY))


def _saved(losses: Float64, reference: Float64, drawn: Float64) -> Interval:
    shares = 1.0 - means(losses, drawn) / means(reference, drawn)
    return interval(1.0 - float(losses.mean() / reference.mean()), shares)


def _area_under(score: Float64, hit: NDArray[np.bool_], drawn: Float64) -> Interval | None:
    if not 0 < int(hit.sum()) < len(hit):
        return None
    whole = areas(score, hit, np.ones((1, len(hit))))
    return interval(float(whole[0]), areas(score, hit, drawn))


def sentence(stack: Skill) -> str:
    """Return in words what the stack knows and what it does not, by the bounds of its figures."""
    timing = stack.timing_auc
    direction = stack.direction_auc
    knows_when = timing is not None and timing.low > 0.5
    knows_side = direction is not None and direction.low > 0.5
    when = f"when the market moves (timing AUC {_area(timing)})"
    side = f"which side a move takes (direction AUC {_area(direction)})"
    if knows_when and knows_side:
        told = f"the stack knows {when} and {side}"
    elif knows_when:
        told = f"the stack knows {when}, but not {side}"
    elif knows_side:
        told = f"the stack knows {side}, but not {when}"
    else:
        told = f"the stack knows neither {when} nor {side}"
    worth = stack.over_prior is not None and stack.over_prior.low > 0.0
    more = stack.over_calendar is not None and stack.over_calendar.low > 0.0
    prior = f"the class prior (skill {_share(stack.over_prior)})"
    calendar = f"a calendar table (skill {_share(stack.over_calendar)})"
    if worth and more:
        held = f"it is worth more than {prior} and more than {calendar}"
    elif worth:
        held = f"it is worth more than {prior}, but not shown to be worth more than {calendar}"
    elif more:
        held = f"it is worth more than {calendar}, but not shown to be worth more than {prior}"
    else:
        held = f"it is not shown to be worth more than {prior} or {calendar}"
    return f"On {stack.rows:,} rows that it had not seen {told}; {held}."


def _share(found: Interval | None) -> str:
    if found is None:
        return "–"
    return f"{100 * found.value:+.1f} %, {100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _figure(found: float | None) -> str:
    return "–" if found is None else f"{found:.4f}"


def _area(found: Interval | None) -> str:
    return "–" if found is None else f"{found.value:.3f}, {found.low:.3f} to {found.high:.3f}"
