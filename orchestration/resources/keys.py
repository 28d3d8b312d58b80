"""The publisher's Ed25519 key and the runner's admin token, made on first use for one user."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernel.errors import TidegateError
from market_data.storage.parquet import replace_file

SIGNING_KEY = "signing.key"
PUBLIC_FOLDER = "public"
ADMIN_TOKEN = "admin.token"  # noqa: S105  # the name of a file


class WrongKeyError(TidegateError):
    """A file in the place of the publisher's key that holds another kind of key."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Sign and verify with one Ed25519 key, named by 16 hex digits of sha256(public key)."""

    key_id: str
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], bool]


def signer(keys: Path) -> Signer:
    """Return the publisher's signer; make its key (0600) and `public/<key_id>.pub` on first use."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    def fresh() -> bytes:
        return Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    private = serialization.load_pem_private_key(_secret(keys / SIGNING_KEY, fresh), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise WrongKeyError(
            f"{keys / SIGNING_KEY}: found {type(private).__name__}, expected an Ed25519 key"
        )
    public = private.public_key()
    key_id = hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    _publish_key(
        keys / PUBLIC_FOLDER / f"{key_id}.pub",
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return Signer(key_id, private.sign, verify)


def admin_token(keys: Path) -> str:
    """Return the token of the runner's admin verbs; make `admin.token` (0600) on first use."""
    return _secret(keys / ADMIN_TOKEN, lambda: secrets.token_urlsafe(32).encode()).decode()


def _secret(path: Path, fresh: Callable[[], bytes]) -> bytes:
    """Return the file's bytes; an absent one is made whole or not at all, for its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # mkstemp opens with 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails where another process was first: its secret stands
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermissionError(f"{path}: found mode {mode:03o}, expected 600; run chmod 600 on it")
    return path.read_bytes()


def _publish_key(path: Path, pem: bytes) -> None:
    if path.exists() and path.read_bytes() == pem:
        return
    replace_file(path, pem)
    path.chmod(0o644)
