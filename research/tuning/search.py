# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Optuna's own types are wider than what is used of it; what leaves this file is typed.
"""A search for better settings of one base: trials on the inner folds, each on record first.

Several processes may work on one search. Each trial has a worker; where that is no more, what it
had in hand is tried again by whoever is left, and as the same row of the ledger.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, Self

import numpy as np

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import TidegateError
from research.evaluation.paired import Difference, compare
from research.models.base import Base
from research.training.selection import memory_rows
from research.tuning import scoring
from research.tuning.ledger import Ledger, Result, Trial, settings_digest
from research.tuning.scoring import FoldScore, Ground
from research.tuning.spaces import (
    Objective,
    Space,
    TuningSettings,
    Value,
    parameters_of,
    suggest,
    with_parameters,
)

WORKER = "worker"
FAILED = "failed"


class Crew(Protocol):
    """Who works on a search: this process, and whether others that began a trial still live."""

    @property
    def me(self) -> str:
        """Return the name of this worker."""
        ...

    def alive(self, name: str) -> bool:
        """Return whether a worker may still tell what came of its trial."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Hold what only one worker may do at a time: take the next trial."""
        ...


class NothingFoundError(TidegateError):
    """Say that no trial of a search came to its end."""


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """How many trials of a search are complete, pruned, failed and in hand."""

    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def tried(self) -> int:
        """Return how many there are of all kinds."""
        return self.complete + self.pruned + self.failed + self.running


@dataclass(frozen=True, slots=True)
class Search:
    """What a search is about: a base, what may be tried of it, and what is judged on."""

    ground: Ground
    base: Base
    space: Space
    tuning: TuningSettings

    @property
    def name(self) -> str:
        """Name the search by everything that decides what its trials come to."""
        decided = {
            "base": parameters_of(self.base),
            "space": {name: asdict(one) for name, one in self.space.parameters.items()},
            "tuning": asdict(self.tuning),
            "settings": settings_digest(self.ground.settings),
            "data": self.ground.digest,
        }
        short = sha256_hex(canonical_json(decided))[:12]
        return f"{self.ground.symbol}-{self.ground.week}-{self.base.name}-{short}"

    def trial(self, base: Base) -> Trial:
        """Return the trial that a base with these settings is."""
        settings = self.ground.settings
        return Trial(
            symbol=self.ground.symbol,
            kind="search",
            name=base.name,
            settings_digest=settings_digest(
                replace(settings, models=replace(settings.models, bases=(base,), selector=base)),
                objective=self.tuning.objective,
            ),
            data_digest=self.ground.digest,
            seed=settings.models.stack.seed,
            span_ms=self.ground.span_ms,
            parent=self.name,
        )


def direction(objective: Objective) -> Literal["minimize", "maximize"]:
    """Return which way an objective is better, in Optuna's words."""
    return "minimize" if objective == "log_loss" else "maximize"


def value(folds: "tuple[float, ...] | list[float]") -> float:
    """Return what the scores of folds come to."""
    return float(np.mean(folds))


def score(fold: FoldScore, objective: Objective) -> float:
    """Return one fold's score of an objective."""
    return float(fold.losses.mean()) if objective == "log_loss" else fold.sharpe


def study_of(search: Search, storage: Any) -> Any:
    """Return the Optuna study of a search in a storage, made where it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=search.name,
        storage=storage,
        direction=direction(search.tuning.objective),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=search.tuning.startup_trials),
        load_if_exists=True,
    )


def run(
    search: Search,
    study: Any,
    *,
    trials: int,
    ledger: Ledger,
    crew: Crew,
) -> None:
    """Try until the search has `trials` of all kinds, together with whoever else works on it.

    Raises LedgerError where the ledger does not stand.
    """
    while True:
        with crew.turn():
            if taken_up(study, crew).tried >= trials:
                return
            trial = study.ask()
            trial.set_user_attr(WORKER, crew.me)
        _try(search, study, trial, ledger)


def taken_up(study: Any, crew: Crew) -> TrialCounts:
    """Put what workers that are no more had in hand up for trial again; return what there is."""
    from optuna.trial import TrialState

    counts = Counter[str]()
    for one in study.get_trials(deepcopy=False):
        if one.state == TrialState.RUNNING and not crew.alive(one.user_attrs.get(WORKER, "")):
            study.tell(one.number, state=TrialState.FAIL)
            if one.params:
                study.enqueue_trial(one.params)
        elif one.state == TrialState.FAIL:
            counts["failed"] += FAILED in one.user_attrs
        else:
            counts[one.state.name.lower()] += 1
    return TrialCounts(
        complete=counts["complete"],
        pruned=counts["pruned"],
        failed=counts["failed"],
        running=counts["running"],
    )


def _try(search: Search, study: Any, trial: Any, ledger: Ledger) -> None:
    """Try one set of parameters, or tell what the ledger knows of it already."""
    from optuna.trial import TrialState

    study.sampler = _sampler(search.tuning, trial.number)
    base = with_parameters(search.base, suggest(search.space, trial))
    begun = ledger.begin(search.trial(base))
    if begun.row.records:
        record = begun.row.records[-1]
        outcome, scores = record.outcome, record.scores
    else:
        result = _result(search, base, trial)
        begun.finish(result)
        outcome, scores = result.outcome, result.scores
    if outcome == FAILED:
        trial.set_user_attr(FAILED, "the base could not be fitted or traded")
        study.tell(trial, state=TrialState.FAIL)
    elif outcome == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value(scores))


def _sampler(tuning: TuningSettings, number: int) -> Any:
    """Return what draws the parameters of one trial.

    Seeded by the trial's number: a search that goes on after a kill, and two processes in one, draw
    what one process in one go would have drawn first.
    """
    from optuna.samplers import TPESampler

    seed = int(np.random.SeedSequence((tuning.seed, number)).generate_state(1)[0])
    return TPESampler(seed=seed, n_startup_trials=tuning.startup_trials, multivariate=False)


def _result(search: Search, base: Base, trial: Any) -> Result:
    """Fit and judge fold by fold, and stop where a trial is worse than half of those before it."""
    objective = search.tuning.objective
    folds: list[FoldScore] = []
    outcome = "complete"
    try:
        for step, fold in enumerate(scoring.scored(search.ground, base)):
            folds.append(fold)
            scores = [score(one, objective) for one in folds]
            trial.report(value(scores), step)
            last = step + 1 == len(search.ground.data.folds)
            if not last and trial.should_prune():
                outcome = "pruned"
                break
    except _refusals() as error:
        trial.set_user_attr("reason", str(error)[:300])
        return Result(outcome="failed", objective=objective, scores=())
    return Result(
        outcome=outcome,
        objective=objective,
        scores=tuple(score(one, objective) for one in folds),
        stream=scoring.stream(search.ground, folds),
    )


def _refusals() -> tuple[type[Exception], ...]:
    """Return what the libraries raise for parameters that they do not take or cannot fit."""
    from lightgbm.basic import LightGBMError

    return (ValueError, ArithmeticError, LightGBMError)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings that a search found, and what speaks for them; a person adopts them or does not.

    `current` and `proposed` are the settings of the base by name. Scores are means over the inner
    folds. `difference` is paired on the same rows, current minus proposed in log-loss, or proposed
    minus current in bar returns: above 0 the proposal is better. It is None where there are too few
    rows to say.
    """

    search: str
    symbol: str
    week: str
    base: str
    objective: Objective
    current: Mapping[str, Value]
    proposed: Mapping[str, Value]
    current_score: float
    score: float
    difference: Difference | None
    tally: TrialCounts
    folds: int
    rows: int
    until_ms: int

    @property
    def shown(self) -> bool:
        """Return whether the whole interval of the difference lies above 0."""
        return self.difference is not None and self.difference.low > 0.0

    @property
    def verdict(self) -> str:
        """Return what the evidence says, in one sentence."""
        if dict(self.current) == dict(self.proposed):
            return "the settings of today are the best of what was tried"
        if self.difference is None:
            return "too few rows to say whether this is better than today's settings"
        interval = f"{self.difference.low:.3g} to {self.difference.high:.3g}"
        shown = "better than today's settings" if self.shown else "not shown to be better"
        return (
            f"{shown}: the paired 95 % interval is {interval}; it is that of the best of "
            f"{self.tally.tried} trials, which flatters"
        )

    def to_record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self) | {"verdict": self.verdict}

    @classmethod
    def from_record(cls, raw: Mapping[str, Any]) -> Self:
        """Return the proposal that `to_record` wrote; raise KeyError for a missing key."""
        difference = raw["difference"]
        return cls(
            search=raw["search"],
            symbol=raw["symbol"],
            week=raw["week"],
            base=raw["base"],
            objective=raw["objective"],
            current=raw["current"],
            proposed=raw["proposed"],
            current_score=raw["current_score"],
            score=raw["score"],
            difference=Difference(**difference) if difference else None,
            tally=TrialCounts(**raw["tally"]),
            folds=raw["folds"],
            rows=raw["rows"],
            until_ms=raw["until_ms"],
        )


def propose(search: Search, study: Any, ledger: Ledger, crew: Crew) -> Proposal:
    """Return the best settings of a search beside today's, judged on the same rows.

    Today's are a trial like any other. Raises NothingFoundError where no trial is complete.
    """
    complete = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    if not complete:
        raise NothingFoundError(
            f"search {search.name}: found no trial that came to its end, expected one: more trials "
            "may; `tidegate trials` shows what became of these"
        )
    best = with_parameters(search.base, study.best_trial.params)
    current = _judged(search, search.base, ledger)
    found = _judged(search, best, ledger)
    objective = search.tuning.objective
    scores = [value([score(one, objective) for one in folds]) for folds in (current, found)]
    current_score, best_score = scores
    better = best_score < current_score if objective == "log_loss" else best_score > current_score
    proposed = best if better else search.base
    return Proposal(
        search=search.name,
        symbol=search.ground.symbol,
        week=search.ground.week,
        base=search.base.name,
        objective=objective,
        current=parameters_of(search.base),
        proposed=parameters_of(proposed),
        current_score=current_score,
        score=best_score if better else current_score,
        difference=_difference(search.ground, objective, current, found) if better else None,
        tally=taken_up(study, crew),
        folds=len(search.ground.data.folds),
        rows=sum(len(one.losses) for one in found),
        until_ms=search.ground.data.until_ms,
    )


def _judged(search: Search, base: Base, ledger: Ledger) -> list[FoldScore]:
    """Judge one base on every fold, on record before it is looked at."""
    begun = ledger.begin(search.trial(base))
    folds = list(scoring.scored(search.ground, base))
    begun.finish(
        Result(
            outcome="complete",
            objective=search.tuning.objective,
            scores=tuple(score(one, search.tuning.objective) for one in folds),
            stream=scoring.stream(search.ground, folds),
        )
    )
    return folds


def _difference(
    ground: Ground, objective: Objective, current: list[FoldScore], found: list[FoldScore]
) -> Difference | None:
    if objective == "log_loss":
        losses = [np.concatenate([one.losses for one in folds]) for folds in (current, found)]
        gained = losses[0] - losses[1]
    else:
        earned = [scoring.stream(ground, folds).returns for folds in (current, found)]
        gained = earned[1] - earned[0]
    memory = memory_rows(ground.settings)
    return compare(gained, memory) if len(gained) > 3 * memory else None
