"""The weekly candidate is one row of the ledger, with what it earned bar by bar."""

import dagster as dg
import numpy as np

from research.gates.accounts import Accounts
from research.training.tracked import TrackedCandidate
from research.tuning.ledger import TrialRow
from tests.assets.reported import all_green
from tests.assets.test_red_checks_stop_every_run import launch
from tests.installation import CUTOFF_MS, SYMBOL, WEEK, WEEK_MS, Installation

WALK = "backtest/walk_forward"


def only_row(installation: Installation) -> TrialRow:
    (row,) = installation.resources["trial_ledger"].rows(SYMBOL).values()
    return row


def test_a_retrain_is_on_record_with_what_it_earned(retrained: Installation) -> None:
    """The row names week, rows and span; its stream compounds to the account of the gate folds."""
    row = only_row(retrained)
    assert (row.trial.kind, row.trial.name, row.trial.parent) == ("weekly", WEEK, "")
    assert row.trial.id == retrained.stored(TrackedCandidate, "training", "candidate").trial
    assert row.trial.span_ms[1] == CUTOFF_MS
    (record,) = row.records
    walk = retrained.stored(Accounts, "backtest", "walk_forward")
    assert record.scores == tuple(fold.sharpe for fold in walk.folds)
    stream = retrained.resources["trial_ledger"].stream(SYMBOL, record)
    assert np.prod(1.0 + stream.returns) - 1.0 == np.float64(record.total_return)
    assert abs(record.total_return - walk.whole.total_return) < 0.01
    assert set(np.diff(stream.open_time_ms)) == {900_000}
    first_ms, last_ms = (int(stream.open_time_ms[at]) for at in (0, -1))
    assert CUTOFF_MS - 3 * WEEK_MS <= first_ms < last_ms < CUTOFF_MS


def test_traded_again_the_same_candidate_is_no_further_trial(
    copied: Installation, instance: dg.DagsterInstance
) -> None:
    """A walk that is materialized again has the same result, and the ledger one row and one look;
    under other costs it is another trial, on record as such.
    """
    before = only_row(copied)
    all_green(instance)
    assert launch(copied, instance, WALK).success
    assert only_row(copied) == before
    trading = copied.environment.config_dir / "trading.yaml"
    trading.write_text(trading.read_text().replace("fee_bps: 4.5", "fee_bps: 9.0"))
    assert launch(copied, instance, WALK).success
    rows = list(copied.resources["trial_ledger"].rows(SYMBOL).values())
    assert rows[0] == before
    assert rows[1].trial.settings_digest != before.trial.settings_digest
    assert rows[1].records[0].total_return < before.records[0].total_return
