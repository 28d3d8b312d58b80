"""Training: the candidate of a week, judged on predictions of models that knew only the past."""

import time
from dataclasses import asdict

import dagster as dg

from orchestration.partitions import symbol, symbol_by_week, week
from orchestration.presentation.metadata import figures, link, picture, short, table
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import Tracking
from orchestration.resources.trial_ledger import TrialLedger
from research.datasets.files import TrainingSet
from research.training.candidate import Candidate
from research.training.tracked import TrackedCandidate

GROUP = "training"


@dg.asset(
    key=[GROUP, "stack"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"training_set": dg.AssetIn(["datasets", "training_set"])},
)
def stack(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[ResearchSettings],
    trial_ledger: dg.ResourceParam[TrialLedger],
    training_set: TrainingSet,
) -> dg.MaterializeResult[Candidate]:
    """Hold signal.onnx, each gate fold's graph and the out-of-fold rows.

    It is an asset of its own so that an MLflow that is away costs no training.
    """
    from orchestration.presentation.run_logs import training_figures
    from research.training import stack as stacks
    from research.training.candidate import base_rows
    from research.tuning.ledger import weekly_trial

    require_green(context)
    chosen = settings.load()
    built = training_set.table
    # Before anything is trained: a run that dies on the way has been a look all the same.
    trial_ledger.begin(
        weekly_trial(
            symbol=symbol(context),
            week=week(context),
            settings=chosen,
            table_digest=built.digest,
            window_ms=(int(built.start_ms[0]), built.cutoff_ms),
        )
    )
    began = time.monotonic()
    trained = stacks.train(built, chosen)
    plots = training_figures(trained)
    return dg.MaterializeResult(
        value=trained,
        metadata={
            "signal_bytes": len(trained.signal),
            "features": len(trained.feature_names),
            **figures(
                {
                    "seconds": time.monotonic() - began,
                    "inference_cpu_ms": trained.cost.cpu_ms,
                    "inference_wall_p99_ms": trained.cost.wall_p99_ms,
                    "parity_max_abs_dp": trained.parity.max_abs_dp,
                }
            ),
            **{name: picture(png, name) for name, png in plots.items()},
            "bases_in_and_out": table(base_rows(trained)),
            "bases": table(asdict(score) for score in trained.scores),
        },
    )


@dg.asset(
    key=[GROUP, "candidate"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"trained": dg.AssetIn([GROUP, "stack"])},
    retry_policy=PASSING_FAULTS,
)
@failures()
def candidate(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[ResearchSettings],
    tracking: dg.ResourceParam[Tracking],
    trained: Candidate,
) -> dg.MaterializeResult[TrackedCandidate]:
    """Hold the trained stack, the id of the MLflow run that shows it and that of its trial."""
    from orchestration.presentation.run_logs import (
        base_logs,
        parent_log,
        started_ms,
        training_figures,
    )
    from research.tuning.ledger import weekly_trial

    require_green(context)
    chosen = settings.load()
    parent = parent_log(
        symbol=symbol(context),
        week=week(context),
        candidate=trained,
        settings=chosen,
        feature_set=settings.feature_set(),
        started_ms=started_ms(context),
        run=context.run.root_run_id or context.run_id,  # a run that goes on is the same run
        plots=training_figures(trained),
    )
    run_id = tracking.log(parent, base_logs(trained, chosen, parent))
    trial = weekly_trial(
        symbol=symbol(context),
        week=week(context),
        settings=chosen,
        table_digest=trained.table_digest,
        window_ms=trained.training_window_ms,
    )
    return dg.MaterializeResult(
        value=TrackedCandidate(candidate=trained, tracking_run=run_id, trial=trial.id),
        metadata={
            **link("mlflow", tracking.page(run_id)),
            "tracking_run": run_id,
            "trial": short(trial.id),
            "signal_bytes": len(trained.signal),
        },
    )


@dg.asset_check(asset=[GROUP, "candidate"], blocking=True, partitions_def=symbol_by_week)
def candidate_is_in_the_ledger(
    context: dg.AssetCheckExecutionContext,
    trial_ledger: dg.ResourceParam[TrialLedger],
    tracked: TrackedCandidate,
) -> dg.AssetCheckResult:
    """The trial that the candidate is was on record before its result was looked at."""
    fault = trial_ledger.fault(symbol(context), tracked.trial)
    return dg.AssetCheckResult(
        passed=not fault,
        description=fault or "found its trial on record in a sound ledger",
        metadata={"trial": short(tracked.trial)},
    )


@dg.asset_check(asset=[GROUP, "candidate"], blocking=True, partitions_def=symbol_by_week)
def graph_decides_as_its_parts_do(
    settings: dg.ResourceParam[ResearchSettings], tracked: TrackedCandidate
) -> dg.AssetCheckResult:
    """The fused graph gives its parts' probabilities and not one other decision."""
    parity = tracked.candidate.parity
    limit = settings.load().gates.max_parity_error
    return dg.AssetCheckResult(
        passed=parity.max_abs_dp <= limit and parity.flipped_decisions == 0,
        description=f"found |Δp| {parity.max_abs_dp:.2e} and {parity.flipped_decisions} other "
        f"decisions on {parity.rows} rows, expected at most {limit:.0e} and 0",
        metadata=figures({"max_abs_dp": parity.max_abs_dp, "rows": parity.rows}),
    )


@dg.asset_check(
    asset=[GROUP, "candidate"],
    additional_ins={"training_set": dg.AssetIn(["datasets", "training_set"])},
    blocking=True,
    partitions_def=symbol_by_week,
)
def no_fold_knows_a_later_label(
    settings: dg.ResourceParam[ResearchSettings],
    tracked: TrackedCandidate,
    training_set: TrainingSet,
) -> dg.AssetCheckResult:
    """Another outcome of every label that ends after a fold began leaves its graph as it is."""
    from research.training import hindsight

    found = hindsight.look(training_set.table, tracked.candidate, settings.load())
    return dg.AssetCheckResult(
        passed=not found.differs,
        description=f"gate fold {found.fold} made again with {found.scrambled} later labels "
        f"changed: found {'another graph' if found.differs else 'the same graph'}, expected the "
        "same to the byte",
        metadata={"fold": found.fold, "scrambled": found.scrambled},
    )
