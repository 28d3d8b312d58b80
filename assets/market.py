"""Market: the raw tables, each as its source published it, with when each row became known."""

from collections.abc import Callable, Sequence
from functools import partial

import dagster as dg

from kernel.observation import SERIES_TABLE
from market_data.ingest.ingestion import ingest
from market_data.quality.data_docs import DataDocs
from market_data.sources.catalogue import Sources
from market_data.storage.lake import Lake
from market_data.tables import INGESTED, TABLES, Table
from orchestration.partitions import month_windows, symbol_by_month
from orchestration.presentation import findings, verdicts
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.research_settings import ResearchSettings

GROUP = "market"
Verdict = Callable[[verdicts.Question], dg.AssetCheckResult]


class IngestConfig(dg.Config):
    """How a run reads: only what it lacks, or with `reread` everything, to find corrections."""

    reread: bool = False


def raw_table(table: Table) -> dg.AssetsDefinition:
    """Return the asset that holds one raw table."""

    @dg.asset(
        key=[GROUP, table.name],
        description=_description(table),
        group_name=GROUP,
        partitions_def=symbol_by_month,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=PASSING_FAULTS,
    )
    @failures()
    def rows(
        context: dg.AssetExecutionContext,
        config: IngestConfig,
        sources: dg.ResourceParam[Sources],
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[ResearchSettings],
        data_docs: dg.ResourceParam[DataDocs],
    ) -> dg.MaterializeResult:
        """Bring the months into the lake, and show what became of every row."""
        universe = settings.universe()
        windows = findings.opened(universe, table.name, month_windows(context))
        read = partial(ingest, reread=config.reread, tell=context.log.info)
        with failures():
            reports = read(table.name, sources, lake, windows, universe) if windows else []
        described = findings.described(table.name, reports, lake, universe)
        index = dg.MetadataValue.path(str(data_docs.index()))
        return dg.MaterializeResult(metadata={**described, "data_docs": index})

    return rows


def raw_check(
    table: Table, sentence: str, verdict: Verdict, description: str, after: Sequence[str] = ()
) -> dg.AssetChecksDefinition:
    """Return a blocking check of one raw table, which runs when the tables `after` are made."""

    @dg.asset_check(
        asset=[GROUP, table.name],
        name=sentence,
        description=description,
        blocking=True,
        additional_deps=[dg.AssetDep([GROUP, name]) for name in after],
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[ResearchSettings],
        data_docs: dg.ResourceParam[DataDocs],
    ) -> dg.AssetCheckResult:
        universe = settings.universe()
        return verdict(verdicts.asked(context, table.name, lake, universe, data_docs))

    return check


def checks_of(table: Table) -> list[dg.AssetChecksDefinition]:
    """Return the checks that follow from a table's description."""
    name = table.name
    many = table.name.endswith("s")
    have, meet = ("have", "meet") if many else ("has", "meets")
    checks = [
        raw_check(
            table,
            f"{name}_{meet}_expectations",
            verdicts.meets_expectations,
            "Great Expectations' suite of the table: columns and types, identity, order, grid, "
            "bounds, silence, and that nothing is known too early.",
        ),
        raw_check(
            table,
            f"{name}_{have}_nothing_in_quarantine",
            verdicts.has_nothing_in_quarantine,
            "No row of these months is set aside in market/quarantine that nobody has accepted.",
        ),
    ]
    if table.dense or table.longest_silence_ms:
        checks.append(
            raw_check(
                table,
                f"{name}_{have}_no_gaps",
                verdicts.has_no_gaps,
                "Nothing is missing from the symbol's first row to the ingest's clock, or to the "
                "last candle where candles come from files; what a person accepted is no gap.",
            )
        )
    if name in SERIES_TABLE.values():
        checks.append(
            raw_check(
                table,
                "rows_were_not_known_before_they_arrived",
                verdicts.rests_on_a_lag_that_is_kept,
                "The publication lag covers 99 of 100 arrivals that the live runner measured.",
            )
        )
    if name == "reference_candles":
        checks.append(
            raw_check(
                table,
                "prices_agree_with_the_reference",
                verdicts.agrees_with_the_reference,
                "No close of market/candles is far from what the reference traded in its bar.",
                after=["candles"],
            )
        )
    return checks


def _description(table: Table) -> str:
    """Return what the table holds, and its columns with their units."""
    columns = "\n".join(
        f"| `{name}` | {column.unit} | {'yes' if column.required else 'no'} |"
        for name, column in table.columns.items()
    )
    return f"{table.summary}\n\n| column | unit | required |\n| --- | --- | --- |\n{columns}"


raw_tables = [raw_table(TABLES[name]) for name in INGESTED]
raw_checks = [check for name in INGESTED for check in checks_of(TABLES[name])]
