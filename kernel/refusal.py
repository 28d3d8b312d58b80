"""Why a bundle is refused, one reason per broken rule."""

import reprlib
from enum import StrEnum

from kernel.errors import TidegateError


class Refusal(StrEnum):
    """The rule that a refused bundle breaks."""

    MISSING_FILE = "missing_file"
    EXTRA_FILE = "extra_file"
    TOO_LARGE = "too_large"
    UNKNOWN_SCHEMA = "unknown_schema"
    MALFORMED_MANIFEST = "malformed_manifest"
    DIGEST_MISMATCH = "digest_mismatch"
    FILE_DIGEST_MISMATCH = "file_digest_mismatch"
    WRONG_SYMBOL = "wrong_symbol"
    WRONG_FEATURE_HASH = "wrong_feature_hash"
    UNKNOWN_FEATURE = "unknown_feature"
    MISSING_SIGNATURE = "missing_signature"
    FOREIGN_KEY = "foreign_key"
    BAD_SIGNATURE = "bad_signature"
    STALE_EPOCH = "stale_epoch"
    GOLDEN_MISMATCH = "golden_mismatch"
    OVER_BUDGET = "over_budget"
    STATE_MISMATCH = "state_mismatch"
    UNKNOWN_GRAPH = "unknown_graph"
    EXPIRED = "expired"


class BundleRefused(TidegateError):  # noqa: N818 - it names a verdict, not a mishap
    """A bundle that may not trade: the rule it breaks, what was found and what was expected."""

    def __init__(self, reason: Refusal, found: object, expected: object) -> None:
        """Keep the reason, and `found` and `expected` as short text."""
        self.reason = reason
        self.found = shortened(found)
        self.expected = shortened(expected)
        super().__init__(f"bundle refused, {reason}: found {self.found}, expected {self.expected}")


def shortened(value: object) -> str:
    """Return the value as printable text of at most 200 characters, however deep or long it is."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 200 else f"{text[:197]}..."
