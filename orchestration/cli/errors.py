"""Failures that a person can act on: printed as one message, without a traceback."""

import httpx

from orchestration.cli.dagster_client import DagsterError
from orchestration.cli.demo import DemoError
from orchestration.cli.processes import ServiceError

EXPECTED = (ServiceError, DagsterError, DemoError, FileNotFoundError, httpx.ConnectError)
