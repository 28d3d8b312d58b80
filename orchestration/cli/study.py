"""`tidegate study`: variants of one symbol compared, written as a folder that a person opens."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kernel.errors import SettingsError
from market_data.storage.lake import Lake
from market_data.storage.parquet import replace_file
from orchestration.cli import runs
from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.resources.feature_store import FeatureStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import Tracking, TrackingUnreachableError
from orchestration.resources.trial_ledger import TrialLedger

if TYPE_CHECKING:
    from research.models.base import Base
    from research.tuning.scoring import Ground
    from research.tuning.studies import Findings, KnownMarket, Study, Tried


def study(path: Path, console: Console) -> None:
    """Try what a study names, as far as that was not done before, and print and write its findings.

    Raises SettingsError for a study that names what there is not, LedgerError where the symbol's
    ledger does not stand.
    """
    from research.tuning import studies

    environment = runs.environment_of_runs()
    asked = studies.load_study(path)
    bench = _Bench(environment, asked)
    bench.require_sense()
    folder = environment.home / "studies" / asked.id
    parts = studies.run(
        asked,
        bench.prepared,
        ledger=TrialLedger(home=str(environment.home)),
        parts=_Folder(folder / "parts"),
        told=lambda what: console.print(shown(f"  {what}")),
    )
    found = studies.findings(asked, parts, bench.settings.load())
    _write(found, folder, environment, console)


def _write(found: "Findings", folder: Path, environment: Environment, console: Console) -> None:
    from orchestration.presentation.study_logs import study_logs
    from research.tuning import study_report

    files = {
        "report.md": study_report.markdown(found).encode(),
        "comparison.png": study_report.figure_png(found),
    }
    for name, content in files.items():
        replace_file(folder / name, content)
    _print(found, folder, console)
    tracking = Tracking(
        uri=environment.mlflow_uri, artifacts=str(environment.home / "mlflow" / "artifacts")
    )
    try:
        tracking.log(*study_logs(found, files))
    except TrackingUnreachableError as error:
        console.print(shown(f"not in MLflow: {error}", "yellow"), soft_wrap=True)


def _print(found: "Findings", folder: Path, console: Console) -> None:
    from research.tuning import study_report

    rows = study_report.rows(found)
    table = Table()
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(shown, row.values()))
    console.print(table)
    for sentence in study_report.sentences(found):
        console.print(shown(sentence), soft_wrap=True)
    console.print(shown(f"{folder}: report.md and comparison.png"), soft_wrap=True)


@dataclass(frozen=True)  # no slots: what was read once is kept
class _Bench:
    """What the variants of a study are tried on in this installation."""

    environment: Environment
    study: "Study"

    @cached_property
    def settings(self) -> ResearchSettings:
        return ResearchSettings(folder=str(self.environment.config_dir))

    @cached_property
    def lake(self) -> Lake:
        return Lake(root=self.environment.lake_root)

    @cached_property
    def tried(self) -> "dict[str, Tried]":
        """Return every variant with its settings; raise SettingsError for what they may not be."""
        from research.tuning.studies import tried

        found: dict[str, Tried] = {}
        today = self.settings.load()
        tuning = self.settings.tuning()
        for name, variant in self.study.variants.items():
            try:
                found[name] = tried(variant, today, tuning, self.environment.config_dir)
            except (ValueError, TypeError) as error:
                raise SettingsError(
                    f"study {self.study.name}: variant {name}: found {error}, expected settings "
                    "that the files in configs could hold"
                ) from error
        return found

    def require_sense(self) -> None:
        """Raise before anything is tried where a symbol, week or variant is none."""
        from orchestration.partitions import SYMBOLS

        runs.chosen_symbols((self.study.symbol,), SYMBOLS)
        for week in self.study.weeks:
            runs.chosen_week(self.environment, self.study.symbol, week)
        assert self.tried

    def prepared(self, variant: str, week: str) -> "tuple[Ground, Base]":
        from research.tuning.studies import ground_of

        one = self.tried[variant]
        return ground_of(self.study, week, one, self._seen(week)), one.base

    def _seen(self, week: str) -> "KnownMarket":
        """Return what was known at a week's end, of the features that any variant asks for."""
        if week not in self._known:
            self._known[week] = self._read(week)
        return self._known[week]

    @cached_property
    def _known(self) -> "dict[str, KnownMarket]":
        return {}

    def _read(self, week: str) -> "KnownMarket":
        from research.datasets.matrix import rows_of
        from research.tuning.studies import KnownMarket

        symbol = self.study.symbol
        until_ms = _end_ms(week)
        names = _named(one.settings.features for one in self.tried.values())
        bars = self.lake.bars(symbol, until_ms)
        matrix = FeatureStore(lake=self.lake).read(symbol, names, until_ms)
        return KnownMarket(
            bars=bars,
            series=self.lake.series(symbol, until_ms),
            matrix=rows_of(matrix, bars),
        )


def _named(features: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(["atr_14", *(name for one in features for name in one)]))


def _end_ms(week: str) -> int:
    sunday = date.fromisoformat(week) + timedelta(days=7)
    return int(datetime.combine(sunday, time(), UTC).timestamp()) * 1_000


@dataclass(frozen=True, slots=True)
class _Folder:
    """Parts of a study as files by trial."""

    folder: Path

    def read(self, trial_id: str) -> bytes | None:
        path = self.folder / f"{trial_id}.npz"
        return path.read_bytes() if path.exists() else None

    def write(self, trial_id: str, content: bytes) -> None:
        replace_file(self.folder / f"{trial_id}.npz", content)
