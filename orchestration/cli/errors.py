"""Failures that a person can act on: printed as one message, without a traceback."""

import httpx

from orchestration.cli.dagster_client import DagsterError
from orchestration.cli.demo import DemoError
from orchestration.cli.processes import ServiceError
from orchestration.environments import EnvironmentVariableError
from orchestration.resources.promotion_store import RollbackImpossibleError
from research.promotion.audit import AuditBrokenError
from research.promotion.records import DecisionRefusedError, RecordAlteredError
from research.settings import SettingsError

EXPECTED = (
    ServiceError,
    DagsterError,
    DemoError,
    EnvironmentVariableError,
    SettingsError,
    DecisionRefusedError,
    RecordAlteredError,
    RollbackImpossibleError,
    AuditBrokenError,
    FileNotFoundError,
    PermissionError,
    httpx.TransportError,
)
