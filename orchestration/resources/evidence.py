"""Derive again, from the files, what a request for promotion rests on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import dagster as dg

from market_data.storage.lake import Lake
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import week_key
from orchestration.resources import blocking_checks
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.trial_ledger import TrialLedger
from research.gates.gates import GateReport
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence
from research.training.tracked import TrackedCandidate
from research.tuning.ledger import LedgerError

if TYPE_CHECKING:
    from research.gates.comparison import Decisions

REQUEST = "promotion/request"
LIVE = dg.AssetKey(["monitoring", "live_decisions"])
LIVE_ABSTAIN = "row_abstain"
LIVE_PROBABILITIES = ["row_p_sell", "row_p_hold", "row_p_buy"]  # in the order of the classes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReader:
    """Read bundle, gate report and market data as they are now."""

    lake: Lake
    stored: LakeIOManager
    bundles: BundleStore
    trials: TrialLedger

    def live_decisions(self, symbol: str, digest: str, until_ms: int, bar_ms: int) -> "Decisions":
        """Return what a bundle decided live by `until_ms`, from the weeks that were monitored."""
        import numpy as np
        import pandas as pd

        from kernel.decision import Abstain
        from research.gates.comparison import NO_DECISIONS, Decisions
        from research.training.candidate import as_decided

        weeks = [
            self.stored.read(LIVE, week_key(symbol, day), pd.DataFrame)
            for day in self.stored.days(LIVE, symbol)
        ]
        names = ["open_time_ms", "bundle_digest", LIVE_ABSTAIN, *LIVE_PROBABILITIES]
        if not weeks or not digest:
            return NO_DECISIONS
        rows: Any = pd.concat([week[names] for week in weeks], ignore_index=True)
        decided_ms = rows["open_time_ms"].to_numpy(np.int64) + bar_ms
        own = (rows["bundle_digest"] == digest).to_numpy() & (decided_ms <= until_ms)
        # Only what the graph itself said counts: a dead feed or a kill switch is not the model's.
        reason = rows.loc[own, LIVE_ABSTAIN].to_numpy(np.int64)
        return Decisions(
            decided_ms=decided_ms[own],
            probabilities=as_decided(
                rows.loc[own, LIVE_PROBABILITIES].to_numpy(np.float32),
                np.where(reason == Abstain.OUT_OF_HULL.value, reason, 0),
            ),
        )

    def judged(self, symbol: str, week: str) -> dict[str, str]:
        """Return every blocking check that a request rests on, each with the digest of what is
        stored of the asset that it judges. Report and bundle are named by their own digests, and
        the ledger by the hash that everything tried before the candidate, and it, come to.
        """
        found: dict[str, str] = {}
        bound = {
            blocking_checks.GATES: "as gate_report_digest says",
            blocking_checks.BUNDLE: "as bundle_digest says",
        }
        for asset in blocking_checks.RESTS_ON[REQUEST]:
            key = dg.AssetKey.from_user_string(asset)
            digest = bound.get(asset) or self.stored.digest(key, week_key(symbol, week))
            found |= {f"{asset} {check}": digest for check in blocking_checks.CHECKS[asset]}
        candidate = dg.AssetKey.from_user_string(blocking_checks.CANDIDATE)
        on_record = f"{blocking_checks.CANDIDATE} {blocking_checks.IN_THE_LEDGER}"
        found[on_record] = self._anchor(symbol, candidate, week_key(symbol, week))
        return found

    def _anchor(self, symbol: str, candidate: dg.AssetKey, partition: str) -> str:
        """Return what the ledger comes to at a stored candidate's trial, 'nothing' without it."""
        try:
            tracked = self.stored.read(candidate, partition, TrackedCandidate)
            return self.trials.anchor(symbol, tracked.trial) or "nothing"
        except (FileNotFoundError, KeyError, ValueError, BadZipFile, LedgerError):
            return "nothing"

    def derive(
        self, request: PromotionRequest, instance: dg.DagsterInstance | None = None
    ) -> FoundEvidence:
        """Return the evidence behind `request`; a missing file is evidence that changed.

        With the Dagster instance also what checks have said since, on the same content.
        """
        partition = week_key(request.symbol, request.week)
        key = dg.AssetKey(["gates", "report"])
        try:
            report = self.stored.read(key, partition, GateReport)
            digest = report.digest
            accepted = report.accepted
        except (FileNotFoundError, ValueError) as error:
            digest = str(error)
            accepted = False
        return FoundEvidence(
            bundle=self.bundles.standing_digest(
                request.bundle_digest, request.symbol, request.timeframe
            ),
            gate_report=digest,
            gates_accepted=accepted,
            data=self.lake.digest(request.symbol, request.as_of_ms),
            judged=self.judged(request.symbol, request.week),
            red=blocking_checks.red(instance, REQUEST, partition) if instance else {},
            ledger=self.trials.fault(request.symbol, self.bundles.trial(request.bundle_digest)),
        )
