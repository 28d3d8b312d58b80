"""Backtest: what the gate folds' predictions earned, and the champion on the same bars."""

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.partitions import cutoff_ms, months_read, symbol, symbol_by_week, week
from orchestration.presentation.metadata import figures as numbers
from orchestration.presentation.metadata import link, picture, short, span, table
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import Tracking
from orchestration.resources.trial_ledger import TrialLedger
from research.gates.accounts import Accounts
from research.training.tracked import TrackedCandidate

GROUP = "backtest"


@dg.asset(
    key=[GROUP, "walk_forward"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"tracked": dg.AssetIn(["training", "candidate"])},
    deps=[dg.AssetDep(["features", "matrix"], partition_mapping=months_read)],
    retry_policy=PASSING_FAULTS,
)
@failures()
def walk_forward(
    context: dg.AssetExecutionContext,
    lake: dg.ResourceParam[Lake],
    feature_store: dg.ResourceParam[FeatureStore],
    settings: dg.ResourceParam[ResearchSettings],
    promotion_store: dg.ResourceParam[PromotionStore],
    bundles: dg.ResourceParam[BundleStore],
    evidence: dg.ResourceParam[EvidenceReader],
    tracking: dg.ResourceParam[Tracking],
    trial_ledger: dg.ResourceParam[TrialLedger],
    tracked: TrackedCandidate,
) -> dg.MaterializeResult[Accounts]:
    """Hold each fold's figures, one account through all, it under stress, and the champion's."""
    from kernel.trading import OPEN_TIME_MS
    from orchestration.presentation.run_logs import accounts_log
    from research.datasets.matrix import rows_of
    from research.evaluation import figures
    from research.gates import comparison
    from research.tuning.ledger import traded, weekly_trial

    require_green(context)
    name = symbol(context)
    until_ms = cutoff_ms(context)
    chosen = settings.load()
    bars = lake.bars(name, until_ms)
    # Today's settings of costs and thresholds may be others than those that it was trained under:
    # then this is another trial, and on record as one before it is looked at.
    trial = trial_ledger.begin(
        weekly_trial(
            symbol=name,
            week=week(context),
            settings=chosen,
            table_digest=tracked.candidate.table_digest,
            window_ms=tracked.candidate.training_window_ms,
        )
    )
    champion = promotion_store.standing(name).champion
    held = comparison.predecessor_of(bundles.candidate(champion))
    wanted = comparison.features_needed(held)
    found = comparison.compare(
        bars=bars,
        series=lake.series(name, until_ms),
        matrix=rows_of(feature_store.read(name, wanted, until_ms), bars),
        candidate=tracked.candidate,
        champion=held,
        live=evidence.live_decisions(name, champion, until_ms, chosen.bar_ms),
        settings=chosen,
    )
    trial.finish(traded(found.walk))
    plot = figures.equity_png(found.walk.result.rows[:, OPEN_TIME_MS], found.walk.result.equity)
    tracking.add(tracked.tracking_run, accounts_log(found, plot))
    return dg.MaterializeResult(
        value=found.figures(champion),
        metadata={
            **numbers(
                {
                    **found.walk.whole.to_dict(),
                    "worst_fold_profit_factor": min(
                        fold.profit_factor for fold in found.walk.folds
                    ),
                    "bars_with_known_funding": found.walk.funding_share,
                    "break_even_bps": found.walk.scrutiny.break_even_bps,
                    "shared_bars": found.contest.share if found.contest else 0.0,
                }
            ),
            "accounts": table(found.accounts()),
            "folds": table(
                {"fold": k, "span": span(one.start_ms, one.end_ms), **fold.to_dict()}
                for k, (one, fold) in enumerate(
                    zip(tracked.candidate.folds, found.walk.folds, strict=True)
                )
            ),
            "worlds": table(found.walk.scrutiny.world_rows()),
            "luck": " ".join(found.walk.scrutiny.sentences()),
            "champion": found.verdict or short(champion),
            "equity": picture(plot, "equity"),
            **link("mlflow", tracking.page(tracked.tracking_run)),
        },
    )


@dg.asset_check(asset=[GROUP, "walk_forward"], blocking=True, partitions_def=symbol_by_week)
def accounts_add_up(
    walk: Accounts, settings: dg.ResourceParam[ResearchSettings]
) -> dg.AssetCheckResult:
    """Every gate fold has its account, and no figure of any account is out of its range."""
    expected = settings.load().validation.gate_folds
    accounts = [*walk.folds, walk.whole, walk.stressed]
    wrong = [one for one in accounts if not 0 <= one.win_rate <= 1 or one.max_drawdown < 0]
    lost = sum(fold.trades for fold in walk.folds) == 0 < walk.whole.trades
    return dg.AssetCheckResult(
        passed=len(walk.folds) == expected and not wrong and not lost,
        description=f"found {len(walk.folds)} folds and {len(wrong)} impossible figures, "
        f"expected {expected} and 0",
        metadata={"trades": walk.whole.trades},
    )
