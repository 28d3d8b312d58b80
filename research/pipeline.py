"""The offline half in one call: the same functions that the assets call, stage by stage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel import observation
from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from kernel.observation import FUNDING_FIELDS, OBSERVATION_FIELDS, observe
from research.backtest.run import atr_of
from research.backtest.walk_forward import TradedMarket, WalkForward, backtest
from research.datasets.table import TrainingTable, build
from research.features.garch import starting_state
from research.gates import gates
from research.gates.accounts import Contest
from research.gates.evidence import Evaluation, evaluate, gather
from research.gates.gates import Evidence, GateReport
from research.labels.triple_barrier import Labels, triple_barrier
from research.settings import Settings
from research.training import stack
from research.training.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Prepared:
    """Features float64[n,F], the feature state after the last bar, labels and the market that was
    seen.
    """

    market: TradedMarket
    features: NDArray[np.float64]
    state: NDArray[np.float64]
    labels: Labels
    table: TrainingTable


@dataclass(frozen=True, slots=True)
class Retrained:
    """Everything a weekly retrain of one symbol comes to."""

    prepared: Prepared
    candidate: Candidate
    walk: WalkForward
    evaluation: Evaluation
    evidence: Evidence
    report: GateReport


def prepare(seen: observation.Market, settings: Settings) -> Prepared:
    """Return the training table of a market as it was seen, from the beginning of its history."""
    bars = seen.bars
    bar_ms = settings.bar_ms
    observed = observe(seen, bar_ms)
    features, state = compute(observed, starting_state(observed))
    first_funding = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
    funding = observed[:, first_funding : first_funding + len(FUNDING_FIELDS)]
    market = TradedMarket(bars, atr_of(features, bars.close), funding)
    labels = triple_barrier(bars, market.atr, settings.labels, bar_ms)
    chosen = features[:, [FEATURES.index(name) for name in settings.features]]
    table = build(
        bars=bars,
        features=chosen,
        labels=labels,
        feature_names=settings.features,
        settings=settings.validation,
        bar_ms=bar_ms,
        silent_bars=settings.silent_bars,
    )
    return Prepared(market, features, state, labels, table)


def retrain(
    seen: observation.Market, settings: Settings, contest: Contest | None = None
) -> Retrained:
    """Return the candidate of a market and the gates' report on it; the cutoff is the close of
    the last bar.
    """
    return judge(prepare(seen, settings), settings, contest)


def judge(prepared: Prepared, settings: Settings, contest: Contest | None = None) -> Retrained:
    """Train, trade and judge a candidate of a prepared table."""
    candidate = stack.train(prepared.table, settings)
    walk = backtest(prepared.market, candidate.folds, candidate.feature_names, settings)
    evaluation = evaluate(candidate, settings)
    evidence = gather(candidate, prepared.table, walk, evaluation, settings, without_funding="")
    report = gates.evaluate(evidence, contest, settings.gates)
    return Retrained(
        prepared=prepared,
        candidate=candidate,
        walk=walk,
        evaluation=evaluation,
        evidence=evidence,
        report=report,
    )
