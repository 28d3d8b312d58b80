"""The publisher's Ed25519 keys and the runner's admin token, made on first use for one user.

One private key signs. Every public half in `public/` verifies: those of earlier keys too, until one
is revoked and moved to `public/revoked/`.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.errors import TidegateError
from market_data.storage.parquet import replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNING_KEY = "signing.key"
PUBLIC_FOLDER = "public"
REVOKED_FOLDER = "revoked"
ADMIN_TOKEN = "admin.token"  # noqa: S105  # the name of a file
SIGNED_LOG = Path("promotion", "audit.jsonl")  # beside the folder of the keys


class WrongKeyError(TidegateError):
    """A file in the place of a key of the publisher that holds another kind of key, or none."""


class SigningKeyMissingError(TidegateError):
    """The private key of an installation that has signed before is gone; nothing makes another."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Sign with the one private key in a folder, and verify with every public one there.

    Nothing is read or made before it is needed: what only reads needs no private key.
    """

    keys: Path

    @property
    def key_id(self) -> str:
        """Return 16 hex digits of sha256(public key); the key is made on the very first use.

        Raises SigningKeyMissingError where an earlier one has signed and is gone, WrongKeyError,
        and PermissionError for a file that others may read.
        """
        return _id_of(self._private().public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature by the private key; raises as `key_id` does."""
        return self._private().sign(message)

    def require(self) -> None:
        """Make the very first key, and raise as `key_id` does where there is none to sign with."""
        self._private()

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Say whether any key that is not revoked made this signature; raises WrongKeyError."""
        from cryptography.exceptions import InvalidSignature

        for public in public_keys(self.keys).values():
            try:
                public.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    def lacks_key(self) -> bool:
        """Say whether there is no private key although one has signed before."""
        return self._earlier() and not (self.keys / SIGNING_KEY).exists()

    def _private(self) -> "Ed25519PrivateKey":
        # Whoever makes the first key writes it before its public half: looked at in this order, a
        # key that another process makes meanwhile is never taken for a missing one.
        if self.lacks_key():
            raise SigningKeyMissingError(
                f"{self.keys / SIGNING_KEY}: found no private key, expected the one that has "
                "signed here before; restore it from a copy, or make another with `tidegate keys "
                "rotate --as <your name> --reason <why>`: what was signed stays readable"
            )
        private = _loaded_private(self.keys / SIGNING_KEY)
        key_id = _id_of(private.public_key())
        if key_id in revoked_keys(self.keys):
            raise WrongKeyError(
                f"{self.keys / SIGNING_KEY}: found the revoked key {key_id}, expected one that is "
                "in force; make another with `tidegate keys rotate`"
            )
        public = self.keys / PUBLIC_FOLDER / f"{key_id}.pub"
        _publish_key(public, _pem_of(private.public_key()))
        return private

    def _earlier(self) -> bool:
        log = self.keys.parent / SIGNED_LOG
        public = self.keys / PUBLIC_FOLDER
        return any(public.rglob("*.pub")) or (log.exists() and log.stat().st_size > 0)


def signer(keys: Path) -> Signer:
    """Return the publisher's signer; make its key (0600) and `public/<key_id>.pub` on first use.

    Raises as `Signer.key_id` does.
    """
    one = Signer(keys)
    one.require()
    return one


def replace_signing_key(keys: Path) -> str:
    """Put a new private key in the place of the present one, gone or not; return the new key's id.

    The public halves stay. The new one is there first: a process that is killed in between has
    nothing signed that nobody can verify.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    key_id = _id_of(private.public_key())
    _publish_key(keys / PUBLIC_FOLDER / f"{key_id}.pub", _pem_of(private.public_key()))
    temporary = _owners_file(keys, _pem_of_private(private))
    temporary.replace(keys / SIGNING_KEY)
    return key_id


def public_keys(keys: Path) -> "Mapping[str, Ed25519PublicKey]":
    """Return each public key that verifies, by id; raises WrongKeyError."""
    files = sorted((keys / PUBLIC_FOLDER).glob("*.pub"))
    return {file.stem: _loaded_public(file) for file in files}


def revoked_keys(keys: Path) -> list[str]:
    """Return the ids of the revoked keys."""
    return sorted(path.stem for path in (keys / PUBLIC_FOLDER / REVOKED_FOLDER).glob("*.pub"))


def withdraw_public_key(keys: Path, key_id: str) -> None:
    """Move a public key to where it verifies nothing any more; done already, it stays there."""
    public = keys / PUBLIC_FOLDER / f"{key_id}.pub"
    revoked = keys / PUBLIC_FOLDER / REVOKED_FOLDER / public.name
    revoked.parent.mkdir(parents=True, exist_ok=True)
    if public.exists():
        public.replace(revoked)


def admin_token(keys: Path) -> str:
    """Return the token of the runner's admin verbs; make `admin.token` (0600) on first use."""
    return _secret(keys / ADMIN_TOKEN, lambda: secrets.token_urlsafe(32).encode()).decode()


def _loaded_private(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _secret(path, lambda: _pem_of_private(Ed25519PrivateKey.generate()))
    try:
        private = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise WrongKeyError(
            f"{path}: found {error}, expected an Ed25519 key in PEM; restore it from a copy"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise WrongKeyError(f"{path}: found {type(private).__name__}, expected an Ed25519 key")
    return private


def _loaded_public(path: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(path.read_bytes())
    except (ValueError, TypeError) as error:
        raise WrongKeyError(
            f"{path}: found {error}, expected an Ed25519 public key in PEM; restore or remove it"
        ) from error
    if not isinstance(public, Ed25519PublicKey):
        raise WrongKeyError(f"{path}: found {type(public).__name__}, expected an Ed25519 key")
    return public


def _id_of(public: "Ed25519PublicKey") -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def _pem_of(public: "Ed25519PublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _pem_of_private(private: "Ed25519PrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _owners_file(folder: Path, content: bytes) -> Path:
    """Return a new temporary file in `folder` that only its owner may read, on disk."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=folder)  # mkstemp opens with 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(temporary)


def _secret(path: Path, fresh: Callable[[], bytes]) -> bytes:
    """Return the file's bytes; an absent one is made whole or not at all, for its owner only."""
    if not path.exists():
        temporary = _owners_file(path.parent, fresh())
        try:
            os.link(temporary, path)  # fails where another process was first: its secret stands
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermissionError(f"{path}: found mode {mode:03o}, expected 600; run chmod 600 on it")
    return path.read_bytes()


def _publish_key(path: Path, pem: bytes) -> None:
    if path.exists() and path.read_bytes() == pem:
        return
    replace_file(path, pem)
    path.chmod(0o644)
