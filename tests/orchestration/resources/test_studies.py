"""Searches go on after a kill, share their work, and every trial of theirs is on record once."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from orchestration.resources.studies import Studies
from orchestration.resources.trial_ledger import TrialLedger
from research.tuning import search as searching
from research.tuning.ledger import Result, Trial, TrialRow
from research.tuning.search import NothingFoundError, Proposal, Search
from research.tuning.spaces import Choice, Space
from tests.hung import HUNG_S
from tests.research.tuning.grounds import TUNING, base, search

SYMBOL = "BTCUSDT"
TRIALS = 6
SHARES = """
import sys
from orchestration.resources.studies import Studies
from orchestration.resources.trial_ledger import TrialLedger
from research.tuning import search as searching
from tests.research.tuning.grounds import search
wanted = search()
studies = Studies(home=sys.argv[1], database_url=None)
with studies.crew("BTCUSDT") as crew:
    study = searching.study_of(wanted, studies.storage("BTCUSDT"))
    searching.run(
        wanted, study, trials=int(sys.argv[2]), ledger=TrialLedger(home=sys.argv[1]), crew=crew
    )
"""
DIES = """
import sys
from orchestration.resources.studies import Studies
from tests.orchestration.resources.test_studies import DyingLedger
from tests.research.tuning.grounds import search
studies = Studies(home=sys.argv[1], database_url=None)
studies.search(search(), trials=6, ledger=DyingLedger(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


class DyingLedger:
    """A ledger whose process is killed at its n-th beginning or end of a trial."""

    def __init__(self, home: str, moment: str, at: int) -> None:
        self._ledger = TrialLedger(home=home)
        self._moment = moment
        self._left = at

    def begin(self, trial: Trial) -> "DyingTrial":
        begun = self._ledger.begin(trial)
        self.reached("begun")
        return DyingTrial(begun.row, begun, self)

    def reached(self, moment: str) -> None:
        self._left -= moment == self._moment
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclasses.dataclass
class DyingTrial:
    row: TrialRow
    begun: object
    ledger: DyingLedger

    def finish(self, result: Result) -> None:
        self.begun.finish(result)
        self.ledger.reached("finished")


def started(script: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])


def searched(home: Path, trials: int = TRIALS, wanted: Search | None = None) -> Proposal:
    ledger = TrialLedger(home=str(home))
    studies = Studies(home=str(home), database_url=None)
    return studies.search(wanted or search(), trials=trials, ledger=ledger).proposal


def rows(home: Path) -> list[TrialRow]:
    return list(TrialLedger(home=str(home)).rows(SYMBOL).values())


def study(home: Path) -> optuna.Study:
    storage = Studies(home=str(home), database_url=None).storage(SYMBOL)
    return optuna.load_study(study_name=search().name, storage=storage)


def parameters(home: Path) -> list[dict[str, object]]:
    done = ("COMPLETE", "PRUNED")
    return [one.params for one in study(home).trials if one.state.name in done]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a search that nothing disturbed."""
    home = tmp_path_factory.mktemp("whole")
    searched(home)
    return home


def test_every_trial_is_on_record_with_its_stream(whole: Path) -> None:
    """Each set of parameters, and today's, is one finished row with a score per fold it got to."""
    found = rows(whole)
    assert len(found) == TRIALS + 1
    assert {row.trial.kind for row in found} == {"search"}
    assert {row.trial.parent for row in found} == {search().name}
    for row in found:
        (record,) = row.records
        assert len(record.scores) == 4 or record.outcome == "pruned"
        assert record.bars > 600
    complete = [one.value for one in study(whole).trials if one.state.name == "COMPLETE"]
    kept = [one.records[0] for one in found if one.records[0].outcome == "complete"]
    assert set(complete) <= {searching.value(one.scores) for one in kept}


def test_a_search_that_is_launched_again_tries_nothing_again(whole: Path) -> None:
    """The number of trials is that of the search, however often somebody asks for it."""
    before = rows(whole)
    proposal = searched(whole)
    assert rows(whole) == before
    assert proposal.tally.tried == TRIALS


@pytest.mark.parametrize(("moment", "at"), [("begun", 3), ("finished", 3)])
def test_a_killed_search_goes_on_and_counts_nothing_twice(
    whole: Path, tmp_path: Path, moment: str, at: int
) -> None:
    """Killed with a trial in hand, before or after its result was written, the next launch finishes
    that one and comes to the very trials of a search that nothing disturbed.
    """
    killed = started(DIES, tmp_path, moment, at)
    assert killed.wait(HUNG_S) == -signal.SIGKILL
    assert sum(row.open for row in rows(tmp_path)) == (moment == "begun")
    searched(tmp_path)
    found = rows(tmp_path)
    assert len({row.trial.id for row in found}) == len(found)
    assert not any(row.open for row in found)
    assert len(parameters(tmp_path)) == TRIALS
    assert sum(row.looks for row in found) == TRIALS + 1


def test_two_processes_on_one_search_lose_and_double_no_trial(tmp_path: Path) -> None:
    """Together they come to the number that was asked for, each trial finished by one of them."""
    both = [started(SHARES, tmp_path, TRIALS) for _ in range(2)]
    assert [one.wait(HUNG_S) for one in both] == [0, 0]
    drawn = parameters(tmp_path)
    assert len(drawn) == TRIALS == len({str(one) for one in drawn})
    found = rows(tmp_path)
    assert len(found) == TRIALS
    assert all(len(row.records) == 1 for row in found)


def test_a_search_is_seeded(whole: Path, tmp_path: Path) -> None:
    """The same search in another home draws the same parameters and comes to the same scores."""
    searched(tmp_path)
    assert parameters(tmp_path) == parameters(whole)
    assert [row.records[0].scores for row in rows(tmp_path)] == [
        row.records[0].scores for row in rows(whole)
    ]


def test_a_proposal_is_a_file_with_its_evidence(whole: Path) -> None:
    """It reads back, names both settings with their scores, and what the interval rests on."""
    proposal = searched(whole)
    (path,) = (whole / "trials" / SYMBOL / "proposals").iterdir()
    again = Proposal.from_record(yaml.safe_load(path.read_text()))
    assert again == proposal
    assert proposal.score < proposal.current_score
    assert set(proposal.proposed) == set(proposal.current)
    assert proposal.difference is not None
    assert proposal.difference.mean == pytest.approx(proposal.current_score - proposal.score, 0.02)
    assert f"the best of {TRIALS} trials" in proposal.verdict


def test_today_s_settings_stay_where_nothing_is_better(tmp_path: Path) -> None:
    """A space of worse settings proposes those of today, and says so."""
    worse = Space(parameters={"learning_rate": Choice(kind="choice", of=(0.0001, 0.0002))})
    proposal = searched(tmp_path, 2, search(space=worse))
    assert proposal.proposed == proposal.current
    assert "the best of what was tried" in proposal.verdict


def test_a_base_that_cannot_be_fitted_is_a_failed_trial(tmp_path: Path) -> None:
    """What the library refuses is on record as failed, and a search of nothing else says so."""
    broken = Space(parameters={"subsample": Choice(kind="choice", of=(-1.0, -2.0))})
    with pytest.raises(NothingFoundError, match="found no trial that came to its end"):
        searched(tmp_path, 2, search(space=broken))
    assert {record.outcome for row in rows(tmp_path) for record in row.records} == {"failed"}


def test_a_poor_trial_is_pruned_after_the_folds_it_had(tmp_path: Path) -> None:
    """Worse than the median of those before it, a trial ends early, and is on record as pruned."""
    rates = Choice(kind="choice", of=(0.3, 0.31, 0.32, 0.33, 0.0001))
    wanted = search(space=Space(parameters={"learning_rate": rates}))
    searched(tmp_path, 12, wanted)
    pruned = [one for row in rows(tmp_path) for one in row.records if one.outcome == "pruned"]
    assert pruned
    assert all(0 < len(one.scores) < 4 for one in pruned)


def test_the_sharpe_of_folds_is_an_objective_too(tmp_path: Path) -> None:
    """Asked for by setting, trials are scored on what they earn after costs."""
    wanted = search(tuning=dataclasses.replace(TUNING, objective="sharpe"))
    proposal = searched(tmp_path, 4, wanted)
    assert proposal.score >= proposal.current_score
    assert {record.objective for row in rows(tmp_path) for record in row.records} == {"sharpe"}


def test_a_journal_that_was_cut_off_reads_on(whole: Path, tmp_path: Path) -> None:
    """Half a line of a killed writer is cut away before Optuna reads the journal."""
    folder = tmp_path / "trials" / SYMBOL
    folder.mkdir(parents=True)
    written = (whole / "trials" / SYMBOL / "studies.journal").read_bytes()
    (folder / "studies.journal").write_bytes(written + written[:30])
    assert parameters(tmp_path) == parameters(whole)
    searching.study_of(search(), Studies(home=str(tmp_path), database_url=None).storage(SYMBOL))


def test_settings_that_are_tried_leave_the_base_as_it_was() -> None:
    """A search changes copies."""
    before = base().settings
    assert search().base.settings == before
