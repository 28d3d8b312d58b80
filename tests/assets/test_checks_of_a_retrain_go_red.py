"""The checks between labels and request, each on what a sound retrain stored and on a bad copy."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import dagster as dg
import pytest

from assets import backtest, datasets, evaluation, feature_insight, promotion, training
from orchestration.partitions import symbol_by_week
from research.datasets.files import TrainingSet
from research.datasets.matrix import LabelledBars
from research.evaluation.metrics import Metrics
from research.features.files import PicturedReport
from research.gates.accounts import Accounts
from research.gates.evidence import Evaluation
from research.promotion.records import PromotionRequest
from research.training.tracked import TrackedCandidate
from tests.assets.red import answered, evaluations
from tests.installation import CUTOFF_MS, SYMBOL, Installation, partition

TRIPLE_BARRIER = dg.AssetKey(["labels", "triple_barrier"])
VERIFIES = "bundle_verifies_before_anyone_signs_it"
LABELS_END = "labels_end_by_the_cutoff_and_name_every_class"


def labelled(installation: Installation) -> LabelledBars:
    return installation.stored(LabelledBars, *TRIPLE_BARRIER.path)


def ending(sound: LabelledBars, end_ms: int, first: int) -> LabelledBars:
    """Return the labels with one that ends then."""
    ends_ms = sound.labels.end_ms.copy()
    ends_ms[first] = end_ms
    return replace(sound, labels=replace(sound.labels, end_ms=ends_ms))


def without_class(sound: LabelledBars, name: int) -> LabelledBars:
    """Return the labels with every one of a class called otherwise."""
    label = sound.labels.label.copy()
    label[label == name] = 1
    return replace(sound, labels=replace(sound.labels, label=label))


@pytest.mark.red(LABELS_END)
@pytest.mark.parametrize("fault", ["late", "early", "rare"])
def test_labels_of_the_future_of_no_length_or_of_two_classes_are_refused(
    copied: Installation, fault: str
) -> None:
    """A label that ends after the cutoff, one that ends at its decision, and a class that is
    missing stop the retrain.
    """
    sound = labelled(copied)
    start_ms = int(sound.labels.start_ms[100])
    bad = {
        "late": ending(sound, CUTOFF_MS + 1, 100),
        "early": ending(sound, start_ms, 100),
        "rare": without_class(sound, 2),
    }[fault]

    @dg.asset(key=TRIPLE_BARRIER, partitions_def=symbol_by_week)
    def stored() -> LabelledBars:
        return bad

    resources = {"io_manager": copied.resources["io_manager"]}
    dg.materialize([stored], partition_key=partition(), resources=resources)
    assert not _checked(copied, f"labels__triple_barrier_{LABELS_END}", LABELS_END).passed


def _checked(installation: Installation, step: str, name: str) -> dg.AssetCheckEvaluation:
    """Run one check of the retrain alone, on what is stored."""
    result = installation.job("retrain_job").execute_in_process(
        partition_key=partition(),
        instance=dg.DagsterInstance.ephemeral(),
        op_selection=[step],
        raise_on_error=False,
    )
    return evaluations(result)[name]


@pytest.mark.red(VERIFIES)
def test_a_bundle_with_one_other_byte_is_not_put_to_anyone(copied: Installation) -> None:
    """The graph on disk is no more what the manifest says: nobody is asked to sign it."""
    (folder,) = (copied.home / "bundles").iterdir()
    graph = folder / "signal.onnx"
    graph.chmod(0o600)
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    found = _checked(copied, f"bundles__bundle_{VERIFIES}", VERIFIES)
    assert not found.passed
    assert "signal.onnx" in str(found.description)


@pytest.mark.red("no_training_label_meets_a_test_span")
def test_a_training_set_that_forgets_how_far_its_labels_look_is_refused(
    retrained: Installation,
) -> None:
    """With labels that claim to end a bar after their decision, folds are drawn too close; the
    labels themselves say where they end.
    """
    sound = retrained.stored(TrainingSet, "datasets", "training_set")
    forgetful = replace(sound.table, end_ms=sound.table.start_ms + 900_000)
    found = [
        answered(
            "no_training_label_meets_a_test_span",
            datasets.no_training_label_meets_a_test_span(
                settings=retrained.resources["settings"],
                training_set=replace(sound, table=table),
                labelled=labelled(retrained),
            ),
        )
        for table in (sound.table, forgetful)
    ]
    assert [one.passed for one in found] == [True, False]


@pytest.mark.red("features_stay_within_their_ranges")
def test_a_value_out_of_its_features_range_is_refused(retrained: Installation) -> None:
    """An RSI of 130, for once, is counted and named."""
    sound = retrained.stored(PicturedReport, "datasets", "feature_report")
    months = sound.months.copy()
    months.loc[months.index[months["feature"] == "rsi_14"][0], "above"] = 3
    found = _both(
        "features_stay_within_their_ranges",
        [
            feature_insight.features_stay_within_their_ranges(report=report)
            for report in (sound, replace(sound, months=months))
        ],
    )
    assert "found 3 values out of range in 1 features" in str(found.description)
    assert "rsi_14 has 3" in str(found.description)


@pytest.mark.red("graph_decides_as_its_parts_do")
def test_a_graph_that_decides_one_row_otherwise_is_refused(retrained: Installation) -> None:
    """One flipped decision among twenty thousand is one too many."""
    sound = retrained.stored(TrackedCandidate, "training", "candidate")
    parity = replace(sound.candidate.parity, flipped_decisions=1)
    flipped = replace(sound, candidate=replace(sound.candidate, parity=parity))
    settings = retrained.resources["settings"]
    _both(
        "graph_decides_as_its_parts_do",
        [
            training.graph_decides_as_its_parts_do(settings=settings, tracked=tracked)
            for tracked in (sound, flipped)
        ],
    )


@pytest.mark.red("no_fold_knows_a_later_label")
def test_a_fold_that_knew_a_later_label_is_refused(retrained: Installation) -> None:
    """Folds whose graph is that of the cutoff, which knew what happened in them, are found out."""
    sound = retrained.stored(TrackedCandidate, "training", "candidate")
    training_set = retrained.stored(TrainingSet, "datasets", "training_set")
    knowing = tuple(replace(one, graph=sound.candidate.signal) for one in sound.candidate.folds)
    wise = replace(sound, candidate=replace(sound.candidate, folds=knowing))
    settings = retrained.resources["settings"]
    _both(
        "no_fold_knows_a_later_label",
        [
            training.no_fold_knows_a_later_label(
                settings=settings, tracked=tracked, training_set=training_set
            )
            for tracked in (sound, wise)
        ],
    )


@pytest.mark.red("candidate_is_in_the_ledger")
@pytest.mark.parametrize("fault", ["another trial", "no trial", "the ledger was rewritten"])
def test_a_candidate_that_is_not_on_record_goes_no_further(
    copied: Installation, fault: str
) -> None:
    """One whose trial the ledger does not hold, one of before there was a ledger, and any in a
    ledger whose chain is broken are refused.
    """
    sound = copied.stored(TrackedCandidate, "training", "candidate")
    ledger = copied.resources["trial_ledger"]
    context = SimpleNamespace(partition_key=partition())
    check = training.candidate_is_in_the_ledger.op.compute_fn.decorated_fn
    before = check(context, ledger, sound)
    trial = {"another trial": "0" * 64, "no trial": ""}.get(fault, sound.trial)
    if trial == sound.trial:
        log = copied.home / "trials" / SYMBOL / "ledger.jsonl"
        log.write_bytes(log.read_bytes().replace(b'"weekly"', b'"search"', 1))
    bad = check(context, ledger, replace(sound, trial=trial))
    _both("candidate_is_in_the_ledger", [before, bad])


@pytest.mark.red("every_class_was_predicted_on_unseen_rows")
def test_an_evaluation_that_lacks_a_class_is_refused(retrained: Installation) -> None:
    """Of two classes with rows and one without, no probability can be trusted."""
    sound = retrained.stored(Evaluation, "evaluation", "report")
    first, *others = sound.curves
    empty = replace(first, rows=first.rows * 0)
    _both(
        "every_class_was_predicted_on_unseen_rows",
        [
            evaluation.every_class_was_predicted_on_unseen_rows(report=report)
            for report in (sound, replace(sound, curves=(empty, *others)))
        ],
    )


@pytest.mark.red("accounts_add_up")
@pytest.mark.parametrize("fault", ["a fold is missing", "a win rate above one", "trades are lost"])
def test_accounts_that_cannot_be_are_refused(retrained: Installation, fault: str) -> None:
    """A fold that was not traded, a share above one, and trades of no fold stop the gate."""
    sound = retrained.stored(Accounts, "backtest", "walk_forward")
    assert sound.whole.trades > 0
    bad = {
        "a fold is missing": replace(sound, folds=sound.folds[1:]),
        "a win rate above one": replace(sound, whole=replace(sound.whole, win_rate=1.5)),
        "trades are lost": replace(sound, folds=_untraded(sound.folds)),
    }[fault]
    settings = retrained.resources["settings"]
    _both(
        "accounts_add_up",
        [backtest.accounts_add_up(walk=walk, settings=settings) for walk in (sound, bad)],
    )


def _untraded(folds: Sequence[Metrics]) -> tuple[Metrics, ...]:
    return tuple(replace(one, trades=0) for one in folds)


@pytest.mark.red("request_names_the_evidence_it_rests_on")
def test_a_request_that_names_another_gate_report_is_refused(retrained: Installation) -> None:
    """What a person would approve is derived again from the files: the report is another one."""
    sound = retrained.stored(PromotionRequest, "promotion", "request")
    resources = {name: retrained.resources[name] for name in ("evidence", "promotion_store")}
    found = _both(
        "request_names_the_evidence_it_rests_on",
        [
            promotion.request_names_the_evidence_it_rests_on(request=request, **resources)
            for request in (sound, replace(sound, gate_report_digest="0" * 64))
        ],
    )
    assert "gate_report_changed" in str(found.description)


def _both(name: str, found: Sequence[dg.AssetCheckResult]) -> dg.AssetCheckResult:
    """Return what the check said of the bad one, once it let the sound one through."""
    sound, bad = (answered(name, one) for one in found)
    assert sound.passed, sound.description
    assert not bad.passed
    return bad
