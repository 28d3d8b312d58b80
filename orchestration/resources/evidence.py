"""Derive again, from the files, what a request for promotion rests on."""

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import week_key
from orchestration.resources.bundle_store import BundleStore
from research.gates.gates import GateReport
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
            report = self.stored.read(key, week_key(request.symbol, request.week), GateReport)
            digest = report.digest
            accepted = report.accepted
        except (FileNotFoundError, ValueError) as error:
            digest = str(error)
            accepted = False
        return Evidence(
            bundle=self.bundles.standing_digest(
                request.bundle_digest, request.symbol, request.timeframe
            ),
            gate_report=digest,
            gates_accepted=accepted,
            data=self.lake.digest(request.symbol, request.as_of_ms),
        )
