"""PostgreSQL as the warehouse's engine: one builder at a time, and the lake's rows in tables."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from kernel.errors import TidegateError
from market_data.storage.lake import DERIVED_TABLES, LakeError
from market_data.storage.objects import Storage
from market_data.storage.revisions import conformed
from market_data.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMAS = ("warehouse", "lake")
PASSWORD = "DBT_ENV_SECRET_PGPASSWORD"  # noqa: S105  # dbt keeps variables of this prefix out of logs and artifacts
_PARAMETERS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": PASSWORD,
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
_TYPES = {
    "double": "double precision",
    "int64": "bigint",
    "int32": "integer",
    "string": "text",
    "bool": "boolean",
}
LOCK = 0x71DE6A7E  # the key of the advisory lock that builders take
SCHEMA_LOCK = LOCK + 1  # and of that under which schemas and their first tables are made
_MARKET = {f"market/{name}": {"symbol": "string", **t.kinds} for name, t in TABLES.items()}
Stamp = Callable[[str], str]
RAW: Mapping[str, Mapping[str, str]] = {**_MARKET, **DERIVED_TABLES}
"""Folder in the lake → column → type; the table in the schema `lake` has the folder's last name."""


class PostgresUrlError(TidegateError):
    """TIDEGATE_WAREHOUSE_URL is not a PostgreSQL URL; its text is kept back, it holds a secret."""


def variables(url: str) -> dict[str, str]:
    """Return the environment in which dbt's profile `postgres` reaches the database of `url`.

    Raises PostgresUrlError for what is not a URL of PostgreSQL, or has a parameter dbt cannot take.
    """
    import psycopg2
    from psycopg2.extensions import parse_dsn

    plain = url.replace("postgresql+psycopg2://", "postgresql://", 1)
    expected = "expected postgresql://user:password@host:port/name"
    if not plain.startswith("postgresql://"):
        scheme = url.partition(":")[0]
        raise PostgresUrlError(f"TIDEGATE_WAREHOUSE_URL: found scheme {scheme!r}, {expected}")
    try:
        found = parse_dsn(plain)
    except psycopg2.ProgrammingError:
        raise PostgresUrlError(f"TIDEGATE_WAREHOUSE_URL: found no URL, {expected}") from None
    unknown = sorted(set(found) - set(_PARAMETERS))
    if unknown:
        raise PostgresUrlError(
            f"TIDEGATE_WAREHOUSE_URL: found the parameter {unknown[0]!r}, expected only "
            f"{', '.join(_PARAMETERS)}: set the others through libpq's PG* variables"
        )
    return {_PARAMETERS[name]: value for name, value in found.items()}


class PostgresUnreachableError(TidegateError):
    """PostgreSQL takes no connection; what libpq says names host and user, never the password."""

    passing = True


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Give a connection to the database of `url`, with the warehouse's schemas on its path."""
    import psycopg2
    from psycopg2.extensions import make_dsn

    given = variables(url)
    parameters = {
        name: given[variable] for name, variable in _PARAMETERS.items() if variable in given
    }
    path = f"-c search_path={','.join(SCHEMAS)} -c timezone=UTC"
    try:
        connection = psycopg2.connect(make_dsn(**parameters, options=path))
    except psycopg2.OperationalError as error:
        raise PostgresUnreachableError(
            f"warehouse: found {str(error).strip()!r}, expected PostgreSQL to take a connection; "
            "start it, or fix TIDEGATE_WAREHOUSE_URL"
        ) from error
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def only_builder(url: str) -> Iterator[None]:
    """Wait until no other build runs on the database, on whatever machine; a crash releases it."""
    with connected(url) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def ensure_schema(cursor: Any, name: str) -> None:
    """Create a schema where it is absent; several processes at once make it once.

    A role that may use the schema but not create one is not asked to. The lock is held until the
    transaction of `cursor` ends, because CREATE IF NOT EXISTS alone fails for the slower of two.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
    cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(f'CREATE SCHEMA "{name}"')


def in_schema(database_url: str, name: str) -> str:
    """Return the URL of the same database, tables in a schema of their own.

    Dagster, MLflow and Optuna each keep an `alembic_version` table: one schema holds one of them.
    """
    parts = urlsplit(database_url)
    option = "options=" + quote(f"-csearch_path={name}")
    query = f"{parts.query}&{option}" if parts.query else option
    return urlunsplit(parts._replace(query=query))


def made_schema(database_url: str, name: str) -> None:
    """Create a schema in a database where it is absent."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        ensure_schema(connection.connection.cursor(), name)
    engine.dispose()


def copy_lake(lake: Storage, url: str) -> int:
    """Bring the lake's rows into the schema `lake` and return how many files were copied.

    A file that has not changed since the last time is not read. All of it is one transaction: who
    reads meanwhile sees the rows of before. Tables whose description has changed are made anew.
    """
    with connected(url) as connection, connection, connection.cursor() as cursor:
        ensure_schema(cursor, "lake")
        cursor.execute("SELECT to_regclass('lake.copied_files')")
        if cursor.fetchone() == (None,):
            cursor.execute(
                "CREATE TABLE lake.copied_files ("
                "id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, folder text NOT NULL, "
                "name text NOT NULL UNIQUE, stamp text NOT NULL)"
            )
        stamp = _stamps(lake)
        return sum(_copy_folder(cursor, lake, folder, stamp) for folder in RAW)


def _copy_folder(cursor: Any, lake: Storage, folder: str, stamp_of: Stamp) -> int:
    """Make one table hold what its folder holds."""
    _ensure_table(cursor, folder)
    cursor.execute("SELECT name, stamp, id FROM lake.copied_files WHERE folder = %s", [folder])
    copied = {name: (stamp, number) for name, stamp, number in cursor.fetchall()}
    present = {name: stamp_of(name) for name in _parquet_files(lake, folder)}
    for name, (stamp, number) in copied.items():
        if present.get(name) != stamp:
            delete = f"DELETE FROM {_table(folder)} WHERE lake_file = %s"  # noqa: S608  # ours
            cursor.execute(delete, [number])
            cursor.execute("DELETE FROM lake.copied_files WHERE id = %s", [number])
    changed = [name for name in present if copied.get(name, ("",))[0] != present[name]]
    for name in changed:
        cursor.execute(
            "INSERT INTO lake.copied_files (folder, name, stamp) VALUES (%s, %s, %s) RETURNING id",
            [folder, name, present[name]],
        )
        _copy_file(cursor, lake, folder, name, cursor.fetchone()[0])
    if changed:
        cursor.execute(f"ANALYZE {_table(folder)}")
    return len(changed)


def _ensure_table(cursor: Any, folder: str) -> None:
    columns = [(name, _TYPES[kind]) for name, kind in RAW[folder].items()]
    expected = [*columns, ("lake_file", "integer")]
    name = folder.rpartition("/")[2]
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'lake' AND table_name = %s ORDER BY ordinal_position",
        [name],
    )
    found = cursor.fetchall()
    if found == expected:
        return
    table = _table(folder)
    listed = ", ".join(f'"{column}" {kind}' for column, kind in expected)
    cursor.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
    cursor.execute("DELETE FROM lake.copied_files WHERE folder = %s", [folder])
    cursor.execute(f"CREATE TABLE {table} ({listed})")
    cursor.execute(f"CREATE INDEX ON {table} USING brin (lake_file)")
    if "revision" in RAW[folder]:
        cursor.execute(f"CREATE INDEX ON {table} (symbol) WHERE revision > 0")


def _copy_file(cursor: Any, lake: Storage, folder: str, name: str, number: int) -> None:
    from pyarrow import csv

    rows = _rows(lake, folder, name, number)
    buffer = io.BytesIO()
    csv.write_csv(rows, buffer, csv.WriteOptions(include_header=False))
    buffer.seek(0)
    columns = ", ".join(f'"{column}"' for column in rows.column_names)
    cursor.copy_expert(f"COPY {_table(folder)} ({columns}) FROM STDIN (FORMAT csv)", buffer)


def _rows(lake: Storage, folder: str, name: str, number: int) -> "pa.Table":
    """Return a file's rows in the order of the table's columns, then the number of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = lake.read(name)
    assert content is not None, f"{name} was there a moment ago"
    try:
        stored = pq.read_table(pa.BufferReader(content))
    except pa.ArrowInvalid as error:
        raise LakeError(
            f"lake: found no parquet in {name}, expected rows: restore or remove it"
        ) from error
    if "symbol" not in stored.column_names:
        symbol = name.split("/")[-2].partition("=")[2]
        stored = stored.append_column("symbol", pa.repeat(symbol, len(stored)))
    described = conformed(stored, RAW[folder])
    return described.append_column(
        "lake_file", pa.repeat(pa.scalar(number, pa.int32()), len(stored))
    )


def _parquet_files(lake: Storage, folder: str) -> Sequence[str]:
    return [
        f"{folder}/{part}/{name}"
        for part in lake.names(folder)
        for name in lake.names(f"{folder}/{part}")
        if name.endswith(".parquet") and part != "symbol=none"
    ]


def _stamps(lake: Storage) -> Stamp:
    """Return what tells a file's content by its name without reading it: times and size, or a
    bucket's ETag.
    """
    import fsspec

    uncached = {"skip_instance_cache": True, "use_listings_cache": False}
    files, _ = fsspec.core.url_to_fs(lake.path(""), **uncached)
    return lambda name: str(files.checksum(lake.path(name)))


def _table(folder: str) -> str:
    return f'lake."{folder.rpartition("/")[2]}"'
