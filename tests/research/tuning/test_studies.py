"""A study says which variants survive, and never takes the largest number for an answer."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernel.errors import SettingsError
from research.models.base import Base
from research.tuning import studies, study_report
from research.tuning.ledger import BarReturns
from research.tuning.scoring import Ground
from research.tuning.spaces import load_tuning
from research.tuning.studies import Study, Variant, VariantPart
from tests.hung import HUNG_S
from tests.research.tuning.grounds import BAR_MS, base, chosen, ground
from tests.research.worlds import CONFIGS, settings

BARS = 60 * 96
WEEK = "2025-12-07"
VARIANTS = ("today", "worse", "noise")
DIES = """
import sys
from pathlib import Path
from tests.orchestration.resources.test_studies import DyingLedger
from tests.research.tuning.test_studies import Kept, STUDY, prepared
from research.tuning import studies
ledger = DyingLedger(sys.argv[1], sys.argv[2], 2)
studies.run(STUDY, prepared, ledger=ledger, parts=Kept(Path(sys.argv[1])), told=print)
"""
STUDY = Study(
    name="small",
    symbol="BTCUSDT",
    weeks=(WEEK,),
    benchmark="today",
    variants={"today": Variant(), "timid": Variant(), "again": Variant()},
)


@dataclasses.dataclass
class Kept:
    """Parts as files."""

    folder: Path

    def read(self, trial_id: str) -> bytes | None:
        path = self.folder / trial_id
        return path.read_bytes() if path.exists() else None

    def write(self, trial_id: str, content: bytes) -> None:
        (self.folder / trial_id).write_bytes(content)


def prepared(variant: str, week: str) -> tuple[Ground, Base]:
    """Return the small market; `timid` hardly learns, and `again` is today's base once more."""
    rate = 0.001 if variant == "timid" else base().settings.learning_rate
    return ground(), dataclasses.replace(
        base(), settings=dataclasses.replace(base().settings, learning_rate=rate)
    )


def study(variants: tuple[str, ...], labels: dict[str, dict[str, float]] | None = None) -> Study:
    return Study(
        name="drawn",
        symbol="BTCUSDT",
        weeks=(WEEK,),
        benchmark=variants[0],
        variants={name: Variant(labels=(labels or {}).get(name, {})) for name in variants},
    )


def drawn(loss: float, edge: float, seed: int) -> list[VariantPart]:
    """Return a variant of two months with this mean log-loss, and mean return per bar."""
    common = np.random.default_rng(0).normal(size=BARS)
    own = np.random.default_rng(seed).normal(size=BARS)
    times = BAR_MS * np.arange(BARS, dtype=np.int64)
    return [
        VariantPart(
            open_time_ms=times,
            losses=loss + 0.1 * common + 0.05 * own,
            stream=BarReturns(times, edge + 0.001 * own),
        )
    ]


def found_in(parts: dict[str, list[VariantPart]], asked: Study | None = None) -> studies.Findings:
    return studies.findings(asked or study(tuple(parts)), parts, settings())


def test_a_variant_that_is_better_beats_the_benchmark_and_survives() -> None:
    """A clear difference is found by both measures, and the worse one does not survive."""
    found = found_in({"today": drawn(1.0, 0.0, 1), "better": drawn(0.98, 1e-4, 2)})
    for one in found.comparisons:
        assert one.beat == ("better",)
        assert one.survivors == ("better",)
        assert one.days == 60
    line = {one.name: one for one in found.lines}["better"]
    assert line.log_loss_gain is not None
    assert line.log_loss_gain.low > 0.0


def test_the_best_of_many_that_are_alike_beats_nothing() -> None:
    """Of twelve variants without a difference one is first; nothing is said to be better."""
    luck = {f"v{seed}": drawn(1.0, 0.0, seed) for seed in range(12)}
    found = found_in(luck)
    best = max(found.lines, key=lambda one: one.total_return)
    assert best.total_return > 0.05
    for one in found.comparisons:
        assert one.beat == ()
        assert one.p_value is not None
        assert one.p_value > 0.05
        assert len(one.survivors) > 6
    assert any("none is shown to beat v0" in one for one in study_report.sentences(found))


@pytest.mark.slow
def test_the_comparison_errs_as_often_as_it_says() -> None:
    """In a hundred studies of six equal variants something beats the benchmark in about five."""
    wrong = [
        bool(found_in({f"v{k}": drawn(1.0, 0.0, 100 * one + k + 1) for k in range(6)})
             .comparisons[0].beat)
        for one in range(100)
    ]  # fmt: skip
    assert sum(wrong) <= 11  # of 100 at 5 %: more than that happens once in a hundred


def test_a_variant_that_equals_another_counts_once() -> None:
    """Two names for one thing are no two chances, and no division by a spread of nothing."""
    found = found_in(
        {"today": drawn(1.0, 0.0, 1), "same": drawn(1.0, 0.0, 1), "other": drawn(1.3, -1e-3, 2)}
    )
    for one in found.comparisons:
        assert one.same == {"same": "today"}
        assert one.survivors == ("today",)
    survives = {row["variant"]: row["survives by return"] for row in study_report.rows(found)}
    assert survives == {"today (benchmark)": "yes", "same": "yes", "other": "no"}


def test_log_losses_of_other_labels_are_not_compared() -> None:
    """What another barrier calls a BUY is another question; returns after costs are one measure."""
    asked = study(("today", "near"), {"near": {"take_profit_atr": 0.8}})
    found = found_in({"today": drawn(1.0, 0.0, 1), "near": drawn(0.6, 0.0, 2)}, asked)
    assert [one.measure for one in found.comparisons] == ["return"]
    assert all(one.log_loss_gain is None for one in found.lines)
    assert "log-loss" not in study_report.rows(found)[0]


def test_too_few_days_say_nothing() -> None:
    """Three weeks at least are asked for: fewer are told as such, not judged."""
    short = {
        name: [
            dataclasses.replace(
                one,
                open_time_ms=one.open_time_ms[:960],
                losses=one.losses[:960],
                stream=BarReturns(one.stream.open_time_ms[:960], one.stream.returns[:960]),
            )
            for one in drawn(loss, 0.0, seed)
        ]
        for name, loss, seed in (("today", 1.0, 1), ("better", 0.5, 2))
    }
    found = found_in(short)
    assert all(one.p_value is None for one in found.comparisons)
    assert "nothing can be said" in study_report.sentences(found)[0]
    assert "too few rows" in study_report.markdown(found)


def test_variants_are_held_against_each_other_on_shared_bars_only() -> None:
    """One that predicts fewer bars is compared on those; a bar of two weeks counts once."""
    whole = drawn(1.0, 0.0, 1)
    (late,) = drawn(0.9, 0.0, 2)
    part = dataclasses.replace(
        late,
        open_time_ms=late.open_time_ms[960:],
        losses=late.losses[960:],
        stream=BarReturns(late.stream.open_time_ms[960:], late.stream.returns[960:]),
    )
    found = found_in({"today": [*whole, *whole], "late": [part]})
    assert found.open_time_ms[0] == BAR_MS * 960
    assert len(found.open_time_ms) == BARS - 960
    today = found.lines[0]
    assert today.log_loss == pytest.approx(whole[0].losses[960:].mean())


def test_the_figure_holds_each_variants_interval_and_account() -> None:
    """What is drawn is what was found: one interval and one curve per variant."""
    found = found_in({"today": drawn(1.0, 0.0, 1), "better": drawn(0.98, 1e-4, 2)})
    forest, _, curves = study_report.figure(found).axes
    drawn_ends = [tuple(line.get_xdata()) for line in forest.lines if len(line.get_xdata()) == 2]
    gain = found.lines[1].return_gain
    assert gain is not None
    assert (pytest.approx(1e4 * gain.low), pytest.approx(1e4 * gain.high)) in drawn_ends
    last = {line.get_label(): line.get_ydata()[-1] for line in curves.lines}
    assert last["better"] == pytest.approx(found.lines[1].total_return)


@pytest.mark.parametrize("moment", ["begun", "finished"])
def test_a_killed_study_goes_on_and_counts_nothing_twice(tmp_path: Path, moment: str) -> None:
    """Killed at its second variant, it tries the rest, and equal settings are one row."""
    from orchestration.resources.trial_ledger import TrialLedger

    killed = subprocess.run(
        [sys.executable, "-c", DIES, tmp_path, moment], timeout=HUNG_S, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    ledger = TrialLedger(home=str(tmp_path))
    heard: list[str] = []
    parts = studies.run(STUDY, prepared, ledger=ledger, parts=Kept(tmp_path), told=heard.append)
    assert heard == (["timid, week 2025-12-07"] if moment == "begun" else [])
    found = list(ledger.rows("BTCUSDT").values())
    assert [row.looks for row in found] == [1, 1]
    assert [row.trial.kind for row in found] == ["study", "study"]
    assert not any(row.open for row in found)
    np.testing.assert_array_equal(parts["again"][0].losses, parts["today"][0].losses)
    assert parts["timid"][0].losses.mean() > parts["today"][0].losses.mean()


def test_a_variant_changes_what_it_names_and_nothing_else() -> None:
    """Features, labels, model and thresholds reach the settings that a variant is judged by."""
    today = chosen()
    one = studies.tried(
        Variant(
            base="xgboost",
            parameters={"max_depth": 5},
            features=("calendar.*",),
            labels={"take_profit_atr": 0.8},
            trading={"min_confidence": 0.6, "fee_bps": 9.0},
        ),
        today,
        load_tuning(CONFIGS),
        CONFIGS,
    )
    assert (one.base.name, one.base.settings.max_depth) == ("xgboost", 5)
    assert "session_hour_sin" in one.settings.features
    assert one.settings.labels.take_profit_atr == one.settings.trading.take_profit_atr == 0.8
    assert one.settings.labels.stop_loss_atr == today.labels.stop_loss_atr
    assert one.settings.trading.fee_bps == 9.0
    assert one.tuning.min_confidence == 0.6
    unchanged = studies.tried(Variant(), today, load_tuning(CONFIGS), CONFIGS)
    assert unchanged.settings == today


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: A B", "name"),
        ("benchmark: none", "benchmark is none"),
        ("variants: {today: {colour: red}, b: {}}", "colour"),
        ("variants: {today: {}}", "variants"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The sentence names what was found."""
    import yaml

    whole = {
        "name": "a",
        "symbol": "BTCUSDT",
        "weeks": [WEEK],
        "benchmark": "today",
        "variants": {"today": {}, "b": {}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(whole | yaml.safe_load(text)))
    with pytest.raises(SettingsError, match=said):
        studies.load_study(path)


@pytest.mark.parametrize("path", sorted((CONFIGS / "studies").glob("*.yaml")))
def test_our_own_studies_can_be_tried(path: Path) -> None:
    """Every variant of a study that we ship is made of settings that there are."""
    asked = studies.load_study(path)
    for variant in asked.variants.values():
        studies.tried(variant, settings(), load_tuning(CONFIGS), CONFIGS)
