"""What stages hand to each other: tables, files and records that read back as they were."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from kernel.bundle import verify_contents
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, feature_hash
from kernel.inference import RowCost
from kernel.observation import observe
from research.bundles import seal as sealing
from research.bundles.revision import source_revision
from research.datasets import files as dataset_files
from research.datasets import matrix
from research.datasets.files import TrainingSet
from research.features.certificate import LeakCertificate
from research.gates import judgement
from research.gates.accounts import Accounts, Contest
from research.gates.comparison import NO_DECISIONS, compare, features_needed
from research.gates.evidence import Evaluation, evaluate
from research.gates.gates import GateReport
from research.labels.triple_barrier import triple_barrier
from research.pipeline import Retrained, retrain
from research.settings import Settings
from research.training import candidate as candidates
from research.training import tracked
from research.training.tracked import TrackedCandidate
from tests.installation import CUTOFF_MS, SYMBOL, WEEK, Installation

BAR_MS = 900_000


def rows(installation: Installation, *names: str) -> pd.DataFrame:
    return installation.resources["feature_store"].read(SYMBOL, names, CUTOFF_MS)


@pytest.fixture(scope="module")
def settings(retrained: Installation) -> Settings:
    return retrained.resources["settings"].load()


@pytest.fixture(scope="module")
def direct(retrained: Installation, settings: Settings) -> Retrained:
    """Retrain once more in one call, past Dagster and every file."""
    return retrain(retrained.lake.market(SYMBOL, CUTOFF_MS), settings)


def test_the_stages_and_the_one_call_give_the_same_graphs(
    retrained: Installation, direct: Retrained
) -> None:
    """Through files and assets, or in one call: signal and fold graphs are equal byte for byte."""
    stored = retrained.stored(TrackedCandidate, "training", "candidate").candidate
    assert stored.signal == direct.candidate.signal
    assert [fold.graph for fold in stored.folds] == [fold.graph for fold in direct.candidate.folds]


def test_the_stages_and_the_one_call_give_the_same_verdict(
    retrained: Installation, direct: Retrained
) -> None:
    """The stored gate report has the digest of the one made in one call."""
    report = retrained.stored(GateReport, "gates", "report")
    assert report.digest == direct.report.digest


def test_stored_features_come_with_names_and_the_atr_in_price_units(
    retrained: Installation,
) -> None:
    """Values are the kernel's bytes of the named features, in the order asked for."""
    market = retrained.lake.market(SYMBOL, CUTOFF_MS)
    values, _ = compute(observe(market, BAR_MS))
    frame = rows(retrained, "mvrv", "atr_14")
    names = [FEATURES.index(name) for name in ("atr_14", "mvrv")]
    assert_array_equal(matrix.feature_values(frame, ["atr_14", "mvrv"]), values[:, names])
    assert_array_equal(matrix.atr(frame), values[:, names[0]] * market.bars.close)


def test_stored_rows_that_are_not_the_bars_are_refused(retrained: Installation) -> None:
    """A bar that the lake has and the store lacks, or the other way round, is named."""
    bars, frame = retrained.lake.bars(SYMBOL, CUTOFF_MS), rows(retrained, "atr_14")
    assert matrix.rows_of(frame, bars) is frame
    with pytest.raises(ValueError, match=r"at 2025-12-13T23:45.*materialize features/matrix"):
        matrix.rows_of(frame.iloc[:-1], bars)
    with pytest.raises(ValueError, match="found 8064 rows, expected the 8063 bars"):
        matrix.rows_of(frame, bars.slice(1, len(bars)))


def test_labels_read_back_as_they_were(retrained: Installation, settings: Settings) -> None:
    """Labels, spans and validity survive the table."""
    bars = retrained.lake.bars(SYMBOL, CUTOFF_MS)
    atr = matrix.atr(rows(retrained, "atr_14"))
    labels = triple_barrier(bars, atr, settings.labels, BAR_MS)
    labelled = matrix.LabelledBars(open_time_ms=bars.open_time_ms, labels=labels)
    again = matrix.labels_of(matrix.label_frame(labelled))
    assert_array_equal(again.open_time_ms, bars.open_time_ms)
    for name in ("label", "start_ms", "end_ms", "valid"):
        assert_array_equal(getattr(again.labels, name), getattr(labels, name))


def test_training_table_reads_back_as_it_was(direct: Retrained) -> None:
    """Every field of the table survives its files, to the byte."""
    table = direct.prepared.table
    files = dataset_files.to_files(TrainingSet(table=table, data_digest="d" * 64))
    again = dataset_files.from_files(files)
    assert again.data_digest == "d" * 64
    for name in table.__slots__:
        found, expected = getattr(again.table, name), getattr(table, name)
        if isinstance(expected, np.ndarray):
            assert found.dtype == expected.dtype, name
            assert_array_equal(found, expected)
        else:
            assert found == expected, name
    assert files["data_digest"] == b"d" * 64


def test_training_table_of_another_catalogue_is_refused(direct: Retrained) -> None:
    """Columns keep the digest of their definitions and code: redefined, they are not read."""
    files = dataset_files.to_files(TrainingSet(table=direct.prepared.table, data_digest="d" * 64))
    facts = json.loads(files["table.json"])
    names = direct.prepared.table.feature_names
    assert facts["feature_hash"] == feature_hash(names)
    other = json.dumps(facts | {"feature_hash": feature_hash(names[::-1])}).encode()
    with pytest.raises(ValueError, match="by today's catalogue"):
        dataset_files.from_files(files | {"table.json": other})


def test_judge_on_records_is_judge_on_the_things(direct: Retrained, settings: Settings) -> None:
    """Evaluation and backtest may go through JSON: the gates say the same."""
    accounts = Accounts(
        folds=direct.walk.folds,
        whole=direct.walk.whole,
        stressed=direct.walk.stressed,
        contest=None,
        champion_digest="",
        funding_share=direct.walk.funding_share,
        scrutiny=direct.walk.scrutiny,
    )
    evaluation = evaluate(direct.candidate, settings).to_dict()
    read = Evaluation.from_dict(json.loads(json.dumps(evaluation)))
    again = Accounts.from_dict(json.loads(json.dumps(accounts.to_dict())))
    assert again == accounts
    assert read.to_dict() == evaluation
    report = judgement.judge(
        direct.candidate, direct.prepared.table, read, again, settings, without_funding=""
    )
    assert report.digest == direct.report.digest
    table = judgement.outcome_table(report, SYMBOL, WEEK)
    assert table["passed"].tolist() == [outcome.passed for outcome in report.outcomes]
    assert table["threshold"].dtype == np.float64


def test_a_comparison_goes_through_its_record(
    retrained: Installation, direct: Retrained, settings: Settings
) -> None:
    """As champion on the same decisions a candidate is refused for not being better, read back."""
    lake, champion = retrained.lake, candidates.predecessor(candidates.to_files(direct.candidate))
    found = compare(
        bars=lake.bars(SYMBOL, CUTOFF_MS),
        series=lake.series(SYMBOL, CUTOFF_MS),
        matrix=rows(retrained, *features_needed(champion)),
        candidate=direct.candidate,
        champion=champion,
        live=NO_DECISIONS,
        settings=settings,
    )
    accounts = [row["account"] for row in found.accounts()]
    assert accounts == ["candidate", "under stress", "candidate on shared bars", "champion"]
    assert len(found.series()["fold_win_rate"]) == 3  # type: ignore[arg-type]
    evaluation = evaluate(direct.candidate, settings)
    walk = Accounts.from_dict(json.loads(json.dumps(found.figures("a" * 64).to_dict())))
    report = judgement.judge(
        direct.candidate, direct.prepared.table, evaluation, walk, settings, without_funding=""
    )
    named = {outcome.gate: outcome for outcome in report.outcomes}
    assert named["shared_bars"].value == 1.0
    assert named["score"].threshold is not None
    assert walk.contest == found.contest
    assert walk.contest is not None
    assert walk.contest.champion == walk.contest.candidate == walk.whole


def test_accounts_of_an_earlier_version_are_not_taken_for_a_comparison(direct: Retrained) -> None:
    """A record that was made before contests were kept names a champion and compares nothing."""
    accounts = Accounts(
        folds=direct.walk.folds,
        whole=direct.walk.whole,
        stressed=direct.walk.stressed,
        contest=None,
        champion_digest="a" * 64,
        funding_share=direct.walk.funding_share,
        scrutiny=direct.walk.scrutiny,
    )
    stored = accounts.to_dict()
    del stored["contest"]
    old = stored | {"champion": None, "without_champion": "not compared"}
    assert Accounts.from_dict(old).contest == Contest(None, None, 0.0)
    assert Accounts.from_dict(old | {"champion_digest": ""}).contest is None


def certificate_of(installation: Installation) -> LeakCertificate:
    return installation.stored(LeakCertificate, "features", "certificate")


def sealed(
    installation: Installation,
    root: Path,
    certificate: LeakCertificate,
    found: TrackedCandidate | None = None,
) -> sealing.Sealed:
    """Seal what the stages stored, with another certificate or another candidate."""
    return sealing.seal(
        root,
        symbol=SYMBOL,
        tracked=found or installation.stored(TrackedCandidate, "training", "candidate"),
        training_set=installation.stored(TrainingSet, "datasets", "training_set"),
        report=installation.stored(GateReport, "gates", "report"),
        certificate=certificate,
        cutoff=installation.resources["feature_store"].snapshot(SYMBOL, CUTOFF_MS, BAR_MS),
        settings=installation.resources["settings"].load(),
    )


def test_a_gate_report_that_was_altered_is_not_read(copied: Installation) -> None:
    """A report whose outcomes no longer hash to its digest reaches no stage after the gates."""
    path = copied.home / "lake" / "gates" / "report" / f"symbol={SYMBOL}" / f"{WEEK}.json"
    report = json.loads(path.read_text())
    report["outcomes"][0]["passed"] = not report["outcomes"][0]["passed"]
    path.write_text(json.dumps(report))
    with pytest.raises(ValueError, match="digest"):
        copied.stored(GateReport, "gates", "report")


def test_a_candidate_that_was_read_gives_the_files_it_was_read_from(
    retrained: Installation,
) -> None:
    """What is kept beside a bundle is to the byte what training stored."""
    place = f"training/candidate/symbol={SYMBOL}/{WEEK}.zip"
    with zipfile.ZipFile(retrained.home / "lake" / place) as archive:
        stored = {name: archive.read(name) for name in archive.namelist()}
    assert tracked.to_files(tracked.from_files(stored)) == stored


def test_a_bundle_carries_the_certificate_of_its_features(
    retrained: Installation, tmp_path: Path
) -> None:
    """The stored certificate is in the folder, under a digest of the manifest."""
    certificate = certificate_of(retrained)
    digest = sealed(retrained, tmp_path, certificate).digest
    files = verify_contents(tmp_path / digest, symbol=SYMBOL, timeframe="15m").files
    assert json.loads(files["leak_certificate.json"]) == certificate.to_dict()


def test_one_table_trained_under_two_runs_is_one_bundle(
    retrained: Installation, tmp_path: Path
) -> None:
    """What a run is called and what a row cost on its machine are no inputs: the digest is the
    same, and each is found under its own run.
    """
    certificate = certificate_of(retrained)
    first = retrained.stored(TrackedCandidate, "training", "candidate")
    slower = RowCost(cpu_ms=3.0 * first.candidate.cost.cpu_ms, wall_p99_ms=9.0)
    again = TrackedCandidate(
        candidate=replace(first.candidate, cost=slower), tracking_run="another-run"
    )
    one = sealed(retrained, tmp_path, certificate, first)
    two = sealed(retrained, tmp_path, certificate, again)
    assert one.digest == two.digest
    assert (one.tracking_run, two.tracking_run) == (first.tracking_run, "another-run")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"mismatches": 3}, "changed with its future in 3 values"),
        ({"values": 0}, "had no value on the certified bars"),
        ({"hash": "0" * 64}, "was certified for other code"),
        ({"feature": "another"}, "has no certificate"),
    ],
)
def test_sealing_refuses_a_feature_without_its_proof(
    retrained: Installation, tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    """A feature that leaked, was silent, was changed since or was left out seals nothing."""
    certificate = certificate_of(retrained)
    proofs = tuple(
        replace(one, **change) if one.feature == "rsi_14" else one for one in certificate.features
    )
    with pytest.raises(ValueError, match=f"rsi_14 {fault}"):
        sealed(retrained, tmp_path, replace(certificate, features=proofs))
    assert list(tmp_path.iterdir()) == []


def test_broken_rule_names_what_a_bundle_breaks(copied: Installation) -> None:
    """A sound bundle breaks none; one without its golden rows is named for it."""
    (request,) = copied.store.pending()
    folder = copied.home / "bundles" / request.bundle_digest
    assert sealing.broken_rule(folder, SYMBOL, "15m") is None
    assert "wrong_symbol" in str(sealing.broken_rule(folder, "ETHUSDT", "15m"))
    (folder / "golden.npz").unlink()
    assert "missing_file" in str(sealing.broken_rule(folder, SYMBOL, "15m"))


def test_source_revision_is_a_digest_of_sources() -> None:
    """The revision in a manifest is 64 hex digits and the same at every call."""
    assert source_revision() == source_revision()
    assert len(source_revision()) == 64
