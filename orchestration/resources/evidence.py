"""Derive again, from the files, what a request for promotion rests on."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from kernel.digest import canonical_json, sha256_hex
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import week_key
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.lake import Lake
from research.promotion.records import PromotionRequest
from research.promotion.rules import Evidence


class EvidenceReader(dg.ConfigurableResource):
    """Read bundle, gate report and market data as they are now."""

    lake: dg.ResourceDependency[Lake]
    stored: dg.ResourceDependency[LakeIOManager]
    bundles: dg.ResourceDependency[BundleStore]

    def derive(self, request: PromotionRequest) -> Evidence:
        """Return the evidence behind `request`; a missing file is evidence that changed."""
        key = dg.AssetKey(["gates", "report"])
        try:
            report = self.stored.read(key, week_key(request.symbol, request.week))
        except FileNotFoundError as error:
            report = {"missing": str(error), "accepted": False}
        return Evidence(
            bundle=self.bundles.standing_digest(
                request.bundle_digest, request.symbol, request.timeframe
            ),
            gate_report=report_digest(report),
            gates_accepted=report.get("accepted") is True,
            data=self.lake.digest(request.symbol, request.as_of_ms),
        )


def report_digest(report: Mapping[str, Any]) -> str:
    """Return the hex digest of a gate report, its own `digest` aside."""
    return sha256_hex(canonical_json({k: v for k, v in report.items() if k != "digest"}))
