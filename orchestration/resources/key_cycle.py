"""The life of the publisher's keys: which there are, a new one, and the end of one."""

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kernel.errors import TidegateError
from orchestration.resources.audit_log import AuditLog, AuditSession
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.keys import (
    SIGNING_KEY,
    Signer,
    public_keys,
    replace_signing_key,
    revoked_keys,
    withdraw_public_key,
)
from orchestration.resources.promotion_store import complete
from research.chain import Entry
from research.promotion.publication import publication
from research.promotion.rules import KEY_REVOKED, newest_publications

KEY_ROTATED = "key_rotated"


class KeyCycleError(TidegateError):
    """Say why a key is not rotated or revoked."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key: `signs` is the present one, `verifies` one of before, `revoked` trusted no more."""

    key_id: str
    state: Literal["signs", "verifies", "revoked"]
    publications: int


@dataclass(frozen=True, slots=True)
class KeyCycle:
    """Rotate and revoke the keys of the installation in `home`, each act recorded in its log."""

    home: Path

    def known(self) -> list[KnownKey]:
        """Return every key and how many publications it signed; makes none.

        Raises AuditBrokenError, and WrongKeyError for a file that is no key.
        """
        keys = self._signer.keys
        present = self._present()
        signed = [_key_of(one) for entry in self._log().entries() for one in _signed_in(entry)]
        states: dict[str, Literal["signs", "verifies", "revoked"]] = {
            **{
                key_id: "signs" if key_id == present else "verifies" for key_id in public_keys(keys)
            },
            **dict.fromkeys(revoked_keys(keys), "revoked"),
        }
        return [KnownKey(key_id, state, signed.count(key_id)) for key_id, state in states.items()]

    def rotate(self, actor: str, reason: str, now_ms: int) -> str:
        """Sign by a new private key from now on and return its id; the old one still verifies.

        Works where the private key is gone: the log is verified by the public halves. Raises
        KeyCycleError without a name or a reason, AuditBrokenError.
        """
        _require_named("rotate", actor, reason)
        with self._session() as audit:
            before = self._present()
            fresh = replace_signing_key(self._signer.keys)
            body = {"from": before, "to": fresh, "actor": actor.strip(), "reason": reason}
            audit.append(KEY_ROTATED, body, now_ms)
        return fresh

    def revoke(self, key_id: str, actor: str, reason: str, now_ms: int) -> list[str]:
        """Trust a key no more, and return the symbols whose newest publication was signed anew.

        What stands published stays so, under the same epochs and by the present key. What the key
        signed before stays in the log. Asked twice it is done once. Raises KeyCycleError for the
        key that signs, an unknown one, or without a name or a reason.
        """
        _require_named("revoke", actor, reason)
        keys = self._signer.keys
        with self._session() as audit:
            if key_id == self._signer.key_id:
                raise KeyCycleError(
                    f"revoke {key_id}: found the key that signs, expected an earlier one; "
                    "`tidegate keys rotate` makes another first"
                )
            if key_id not in (*public_keys(keys), *revoked_keys(keys)):
                raise KeyCycleError(
                    f"revoke {key_id}: found no such key, expected one of "
                    f"{', '.join(public_keys(keys))}"
                )
            standing = newest_publications(audit.entries)
            theirs = [one for one in standing.values() if one["key_id"] == key_id]
            if theirs or not _recorded(audit.entries, key_id):
                body = {
                    "key_id": key_id,
                    "actor": actor.strip(),
                    "reason": reason,
                    "publications": [self._signed_anew(one) for one in theirs],
                }
                audit.append(KEY_REVOKED, body, now_ms)
            for symbol in standing:
                with suppress(OSError):  # a bundle that is away is signed by the next swap's tick
                    complete(BundleStore(home=str(self.home)), audit.entries, symbol)
            withdraw_public_key(keys, key_id)
        return [one["symbol"] for one in theirs]

    def _signed_anew(self, head: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name: head[name]
            for name in (
                "digest",
                "symbol",
                "timeframe",
                "epoch",
                "request_digest",
                "approver",
                "published_at_ms",
            )
        }
        return publication(**kept, key_id=self._signer.key_id, sign=self._signer.sign)

    def _present(self) -> str:
        """Return the id of the key that signs, '' where its private half is gone or not made."""
        return self._signer.key_id if (self._signer.keys / SIGNING_KEY).exists() else ""

    @property
    def _signer(self) -> Signer:
        return Signer(self.home / "keys")

    def _log(self) -> AuditLog:
        return AuditLog(self.home / "promotion", self._signer)

    def _session(self) -> AbstractContextManager[AuditSession]:
        return self._log().session()


def _require_named(act: str, actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise KeyCycleError(f"{act}: found actor {actor!r} and reason {reason!r}, expected both")


def _signed_in(entry: Entry) -> list[dict[str, Any]]:
    body = entry.body
    return [
        *([body["publication"]] if "publication" in body else []),
        *body.get("publications", ()),
    ]


def _key_of(one: dict[str, Any]) -> str:
    return str(one["key_id"])


def _recorded(entries: list[Entry], key_id: str) -> bool:
    return any(one.kind == KEY_REVOKED and one.body["key_id"] == key_id for one in entries)
