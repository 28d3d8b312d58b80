import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from kernel.bundle import check_golden, verify_contents
from research.bundles import write as bundling
from research.bundles.card import card, hull_rates
from research.features.certificate import LeakCertificate
from research.gates.gates import GateReport
from research.graphs.runtime import answers as answers_of
from research.graphs.runtime import outputs
from research.pipeline import Retrained
from research.settings import Settings
from research.training.candidate import from_files, to_files

CERTIFICATE = LeakCertificate(
    symbol="BTCUSDT",
    cutoff_ms=1_000,
    bars=1,
    first_open_ms=0,
    last_open_ms=0,
    data_digest="cd" * 32,
    features=(),
)
PROVENANCE = bundling.Provenance(
    symbol="BTCUSDT",
    data_digest="ab" * 32,
    code_revision="0123abc",
    certificate=CERTIFICATE,
)


def write(root: Path, trained: Retrained, small: Settings) -> str:
    bars = trained.prepared.market.bars
    return bundling.write(
        root=root,
        candidate=trained.candidate,
        golden=bundling.golden_rows(trained.prepared.table.x),
        state=bundling.StateAtCutoff(trained.prepared.state, int(bars.open_time_ms[-1])),
        report=trained.report,
        provenance=PROVENANCE,
        settings=small,
        card=card(
            symbol="BTCUSDT",
            candidate=trained.candidate,
            table=trained.prepared.table,
            report=trained.report,
            settings=small,
        ),
    )


def test_bundle_is_one_the_kernel_verifies(tmp_path: Path, trained: Retrained, small: Settings):
    """The written folder passes every rule of the kernel, and its graph gives the golden
    answers.
    """
    digest = write(tmp_path, trained, small)
    found = verify_contents(tmp_path / digest, symbol="BTCUSDT", timeframe="15m")
    manifest = found.manifest
    assert (found.digest, manifest.digest) == (digest, digest)
    assert manifest.features == trained.candidate.feature_names
    assert manifest.cutoff_ms == trained.prepared.table.cutoff_ms
    assert manifest.gate_report_digest == trained.report.digest
    assert np.array_equal(found.state, trained.prepared.state)
    assert json.loads(found.files["leak_certificate.json"]) == CERTIFICATE.to_dict()
    answers = outputs(found.files["signal.onnx"], ["probabilities"], found.golden["features"])[0]
    check_golden(answers, found.golden["probabilities"], tolerance=0.0)
    assert np.isnan(found.golden["features"][-1]).all()
    assert np.array_equal(
        found.golden["abstain"], answers_of(found.files["signal.onnx"], found.golden["features"])[1]
    )
    assert manifest.hull == trained.candidate.hull
    proof = json.loads(found.files["parity_certificate.json"])
    assert proof["rows"] >= 20_000 + proof["split_rows"] + proof["infinite_rows"]
    assert proof["flipped_decisions"] == 0


def test_a_candidate_that_was_stored_gives_the_same_bundle(
    tmp_path: Path, trained: Retrained, small: Settings
):
    """What a file does not keep, such as the order of the bases, is not in the bundle."""
    stored = dataclasses.replace(trained, candidate=from_files(to_files(trained.candidate)))
    assert write(tmp_path, stored, small) == write(tmp_path, trained, small)


def test_card_says_what_the_candidate_is(trained: Retrained, small: Settings):
    """On one page stand the data, the folds, every base's log-loss beside that of the class shares,
    calibration, features, cost and how often the graph abstained, each as the candidate has it.
    """
    table = trained.prepared.table
    told = {
        "symbol": "BTCUSDT",
        "candidate": trained.candidate,
        "table": table,
        "report": trained.report,
        "settings": small,
    }
    files = card(**told)
    assert files == card(**told)
    assert sorted(files) == ["card-features.png", "card-reliability.png", "card.md"]
    text = files["card.md"].decode()
    assert f"{len(table.y):,} rows" in text
    for base in {score.base for score in trained.candidate.scores}:
        assert f"| {base} | " in text
    assert trained.candidate.earning is not None
    for verdict in trained.candidate.earning.verdicts:
        assert f"{verdict.base} is {'in' if verdict.stays else 'out'}: {verdict.why}" in text
    assert f"{len(trained.candidate.signal):,} bytes" in text
    assert f"{trained.candidate.cost.cpu_ms:.4f}" not in text
    rates = hull_rates(trained.candidate, table)
    assert [len(fold) for fold in rates] == [2, 2]
    for fold, weeks in zip(trained.candidate.folds, rates, strict=True):
        assert np.mean(weeks) == pytest.approx((fold.abstain != 0).mean(), abs=1e-3)
        assert ", ".join(f"{rate:.1%}" for rate in weeks) in text
    with_regime = dataclasses.replace(
        table, feature_names=(*table.feature_names[:-1], "regime"), x=np.full_like(table.x, 2.0)
    )
    shown = card(**{**told, "table": with_regime})["card.md"].decode()
    assert "- VOLATILE: 100.0% of the rows" in shown


def test_bundle_written_twice_is_the_same_folder(
    tmp_path: Path, trained: Retrained, small: Settings
):
    """Equal inputs give an equal digest, and nothing else is left in the folder of bundles."""
    assert write(tmp_path, trained, small) == write(tmp_path, trained, small)
    assert len(list(tmp_path.iterdir())) == 1


def test_bundle_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, trained: Retrained, small: Settings
):
    """Where the folder's name is taken by a file, the draft is removed and the error is told."""
    digest = write(tmp_path / "first", trained, small)
    root = tmp_path / "second"
    root.mkdir()
    (root / digest).symlink_to(root / "nowhere")
    with pytest.raises(OSError, match=digest):
        write(root, trained, small)
    assert [each.name for each in root.iterdir()] == [digest]


def test_report_shows_each_gate_and_hides_the_measured_cost(trained: Retrained):
    """An approver reads every verdict; two machines write the same report."""
    text = bundling.improvement_report(trained.candidate, GateReport(trained.report.outcomes))
    assert all(f"| {one.gate} |" in text for one in trained.report.outcomes)
    assert f"{trained.candidate.cost.cpu_ms:.6g}" not in text
    assert "oi_change" in text
