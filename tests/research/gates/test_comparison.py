"""Candidate and champion on the bars that they share: never on one that the champion had seen,
never against a silence taken for a decision.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from kernel.features.registry import FEATURES
from research.gates.accounts import Contest
from research.gates.comparison import NO_DECISIONS, Decisions, contest, known_decisions
from research.pipeline import Retrained
from research.settings import Settings
from research.training.candidate import Predecessor, predecessor, to_files


@pytest.fixture
def champion(trained: Retrained) -> Predecessor:
    """Take the trained candidate for the champion of before."""
    return predecessor(to_files(trained.candidate))


def columns(trained: Retrained, champion: Predecessor) -> np.ndarray:
    """Return the champion's own features of every bar."""
    at = [FEATURES.index(name) for name in champion.feature_names]
    return trained.prepared.features[:, at].astype(np.float32)


def closes(trained: Retrained, settings: Settings) -> np.ndarray:
    return trained.prepared.market.bars.open_time_ms + settings.bar_ms


def held_against(
    trained: Retrained,
    champion: Predecessor,
    settings: Settings,
    live: Decisions = NO_DECISIONS,
) -> Contest:
    """Hold the trained candidate against a champion."""
    decided_ms = closes(trained, settings)
    theirs = known_decisions(champion, decided_ms, columns(trained, champion), live)
    found, equity = contest(trained.prepared.market, trained.candidate.folds, theirs, settings)
    assert set(equity) == ({"candidate", "champion"} if found.champion else set())
    return found


def of_another_catalogue(champion: Predecessor) -> Predecessor:
    return replace(champion, feature_names=(), signal=b"not a graph that today can be asked")


def older(champion: Predecessor, cutoff_ms: int) -> Predecessor:
    """Return the champion as it would have been trained at an earlier cutoff."""
    kept = champion.decided_ms < cutoff_ms
    return replace(
        champion,
        cutoff_ms=cutoff_ms,
        decided_ms=champion.decided_ms[kept],
        probabilities=champion.probabilities[kept],
    )


def middle_ms(trained: Retrained) -> int:
    return trained.candidate.folds[1].start_ms


def test_a_candidate_held_against_itself_is_no_better(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """On its own gate folds it is judged by what it said then: not a cent more, on every bar."""
    found = held_against(trained, champion, small)
    assert found.share == 1.0
    assert found.champion == found.candidate == trained.walk.whole


def test_a_champion_of_another_catalogue_is_compared_by_what_it_said(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """Its graph cannot be asked any more, but its out-of-fold probabilities are on record."""
    found = held_against(trained, of_another_catalogue(champion), small)
    assert found.share == 1.0
    assert found.champion == trained.walk.whole


def test_live_decisions_stand_for_a_champion_that_can_no_longer_be_asked(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """What was decided live after its cutoff fills in, and decides as the champion did."""
    old = of_another_catalogue(older(champion, middle_ms(trained)))
    after = champion.decided_ms >= middle_ms(trained)
    live = Decisions(champion.decided_ms[after], champion.probabilities[after])
    without = held_against(trained, old, small)
    assert 0 < without.share < 1
    assert held_against(trained, old, small, live) == held_against(trained, champion, small)


def test_the_final_graph_answers_for_the_bars_after_its_cutoff_only(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """Before it, on bars that the graph was trained on, it is not asked whatever it would say."""
    asked = replace(
        older(champion, middle_ms(trained)),
        decided_ms=np.empty(0, np.int64),
        probabilities=np.empty((0, 3), np.float32),
    )
    decided_ms = closes(trained, small)
    said = known_decisions(asked, decided_ms, columns(trained, champion), NO_DECISIONS)
    assert (np.isfinite(said).all(axis=1) == (decided_ms >= asked.cutoff_ms)).all()


def test_a_bar_that_the_champion_never_decided_is_no_bar_of_the_contest(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """A champion newer than those weeks has not lost there: both accounts leave them out."""
    late = champion.decided_ms >= middle_ms(trained)
    newer = replace(
        of_another_catalogue(champion),
        decided_ms=champion.decided_ms[late],
        probabilities=champion.probabilities[late],
    )
    found = held_against(trained, newer, small)
    assert found.candidate == found.champion
    assert found.candidate != trained.walk.whole
    assert found.share == pytest.approx(late.mean(), abs=0.01)


def test_without_one_shared_bar_there_are_no_figures(
    trained: Retrained, champion: Predecessor, small: Settings
) -> None:
    """Nothing known is not a score of zero."""
    silent = of_another_catalogue(older(champion, 0))
    assert held_against(trained, silent, small) == Contest(None, None, 0.0)


def test_a_stored_candidate_of_changed_features_is_not_asked(trained: Retrained) -> None:
    """A renamed feature or another hash: the stored answers are kept, the graph is not."""
    files = to_files(trained.candidate)
    summary = json.loads(files["candidate.json"])
    renamed = {**summary, "feature_names": ["atr_norm", *summary["feature_names"][1:]]}
    for other in (renamed, {**summary, "feature_hash": "0" * 64}):
        found = predecessor({**files, "candidate.json": json.dumps(other).encode()})
        assert found.feature_names == ()
        assert len(found.decided_ms) == sum(len(f.rows) for f in trained.candidate.folds)
    assert predecessor(files).feature_names == trained.candidate.feature_names
