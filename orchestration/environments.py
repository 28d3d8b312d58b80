"""Where this installation keeps its state and finds its neighbours."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from kernel.errors import TidegateError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


class EnvironmentVariableError(TidegateError):
    """Say which `TIDEGATE_*` variable is wrong, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Hold the few values that differ between machines; nothing else reads the process environment.

    `home` is the state root, `config_dir` holds the YAML files; without a `database_url` everything
    is SQLite under `home`. `lake_url` puts the lake into an object store through fsspec, and
    `warehouse_url` has dbt build in PostgreSQL; empty keeps both under `home`.
    """

    home: Path
    venue_url: str
    runner_url: str
    mlflow_uri: str
    database_url: str | None
    config_dir: Path
    lake_url: str = ""
    warehouse_url: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the `TIDEGATE_*` variables; EnvironmentVariableError names a URL that is not one."""
        return cls(
            home=Path(environ.get("TIDEGATE_HOME") or ".tidegate"),
            venue_url=_web_url(environ, "TIDEGATE_VENUE_URL", "http://127.0.0.1:8900"),
            runner_url=_web_url(environ, "TIDEGATE_RUNNER_URL", "http://127.0.0.1:8800"),
            mlflow_uri=_web_url(environ, "TIDEGATE_MLFLOW_URL", "http://127.0.0.1:5000"),
            database_url=_database_url(environ),
            config_dir=Path(environ.get("TIDEGATE_CONFIGS") or CONFIGS),
            lake_url=environ.get("TIDEGATE_LAKE_URL") or "",
            warehouse_url=environ.get("TIDEGATE_WAREHOUSE_URL") or "",
        )

    @property
    def lake_root(self) -> str:
        """Return the lake's folder, or its fsspec URL such as s3://bucket/lake."""
        return self.lake_url.rstrip("/") or str(self.home.resolve() / "lake")

    @property
    def replayed_ms(self) -> int | None:
        """Return the clock of the market that the local venue replays, milliseconds UTC; None where
        there is none, or it goes with ours.

        It is as of the venue's last second, and where it stopped while the venue is down.
        """
        path = self.home / "venue" / "clock.json"
        try:
            state = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        return None if state["real_time"] else int(state["now_ms"])

    @property
    def recordings_dir(self) -> Path:
        """Return the folder into which the live runner writes what its feed receives."""
        return self.home / "runner" / "recordings"

    @property
    def warehouse_file(self) -> Path:
        """Return the DuckDB file that dbt writes."""
        return self.home / "warehouse" / "tidegate.duckdb"

    @property
    def journal_file(self) -> Path:
        """Return the live runner's SQLite journal."""
        return self.home / "runner" / "journal.sqlite"


def _web_url(environ: Mapping[str, str], name: str, default: str) -> str:
    url = environ.get(name) or default
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise EnvironmentVariableError(
            f"{name}: found {url!r}, expected http://host:port; set it so, or unset it ({default})"
        )
    return url.rstrip("/")


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("TIDEGATE_DATABASE_URL")
    if not url:
        return None
    if not url.startswith(("postgresql://", "postgresql+psycopg2://")):
        scheme = url.split(":", 1)[0]
        raise EnvironmentVariableError(
            f"TIDEGATE_DATABASE_URL: found scheme {scheme!r}, expected "
            "postgresql://user:password@host:port/name; set it so, or unset it for SQLite"
        )
    return url
