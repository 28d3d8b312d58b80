"""Tuning: what a search finds for one base, on the folds before the gates."""

from enum import Enum

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.environments import Environment
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week, week
from orchestration.presentation.metadata import picture, span
from orchestration.resources.failures import failures
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.studies import Studies
from orchestration.resources.trial_ledger import TrialLedger
from research.datasets.files import TrainingSet
from research.tuning.names import known

GROUP = "training"
# The Launchpad offers exactly these names. Like the universe they are those of the code location's
# load: a new file of a space takes a reload.
Tuned = Enum("Tuned", {name: name for name in known(Environment.from_environ().config_dir)})


class SearchConfig(dg.Config):
    """Name the base whose settings are searched, and how many trials the search shall have."""

    base: Tuned  # type: ignore[valid-type]
    trials: int = 20


@dg.asset(
    key=[GROUP, "search"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"training_set": dg.AssetIn(["datasets", "training_set"])},
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
)
@failures()
def search(
    context: dg.AssetExecutionContext,
    config: SearchConfig,
    lake: dg.ResourceParam[Lake],
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    studies: dg.ResourceParam[Studies],
    trial_ledger: dg.ResourceParam[TrialLedger],
    training_set: TrainingSet,
) -> dg.MaterializeResult[dict]:
    """Hold what the last search of a symbol and week proposes, for a person to adopt or not."""
    from research.backtest.walk_forward import market_of
    from research.datasets.matrix import rows_of
    from research.tuning import scoring
    from research.tuning.search import Search

    name = symbol(context)
    until_ms = cutoff_ms(context)
    chosen = settings.load()
    tuning = settings.tuning()
    base, space = settings.tuned(config.base.value)
    bars = lake.bars(name, until_ms)
    matrix = rows_of(feature_store.read(name, ("atr_14",), until_ms), bars)
    ground = scoring.ground(
        symbol=name,
        week=week(context),
        table=training_set.table,
        market=market_of(bars, lake.series(name, until_ms), matrix, chosen.bar_ms),
        settings=chosen,
        tuning=tuning,
    )
    found = studies.search(
        Search(ground=ground, base=base, space=space, tuning=tuning),
        trials=config.trials,
        ledger=trial_ledger,
    )
    proposal = found.proposal
    return dg.MaterializeResult(
        value=proposal.to_record(),
        metadata={
            "base": proposal.base,
            "verdict": proposal.verdict,
            "trials": proposal.tally.tried,
            proposal.objective: proposal.score,
            f"{proposal.objective}_of_today": proposal.current_score,
            "judged_on": span(*ground.span_ms),
            "proposal": str(found.path),
            "history": picture(found.history, "history"),
        },
    )
