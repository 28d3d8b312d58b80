"""Bundles on disk: one folder each, named by its digest."""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from kernel.bundle import BundleRefused, verify_contents
from kernel.digest import canonical_json
from orchestration.resources.parquet import replace_file

SIGNATURE = "signature"


class BundleStore(dg.ConfigurableResource):
    """Hold bundles in `folder/<digest>/`."""

    folder: str

    def path(self, digest: str) -> Path:
        """Return the folder of a bundle; raise FileNotFoundError for one that was never written."""
        path = Path(self.folder) / digest
        if not digest or not path.is_dir():
            raise FileNotFoundError(f"bundle {digest!r}: found no folder {path}, expected one")
        return path

    def root(self) -> Path:
        """Return the folder of bundles, made where it is absent."""
        root = Path(self.folder)
        root.mkdir(parents=True, exist_ok=True)
        return root

    def standing_digest(self, digest: str, symbol: str, timeframe: str) -> str:
        """Return `digest` while every file matches it, else a sentence that says what broke."""
        try:
            verify_contents(self.path(digest), symbol=symbol, timeframe=timeframe)
        except (BundleRefused, FileNotFoundError) as error:
            return str(error)
        return digest

    def read(self, digest: str, name: str) -> bytes:
        """Return one file of a bundle."""
        return (self.path(digest) / name).read_bytes()

    def sign(self, publication: dict[str, Any]) -> None:
        """Put a publication into its bundle's folder, whole or not at all.

        The file is made beside the folder: a reader that looks in never meets a stray name.
        """
        target = self.path(publication["digest"]) / SIGNATURE
        fresh = self.root() / f".{publication['digest']}.{SIGNATURE}"
        replace_file(fresh, canonical_json(publication))
        fresh.replace(target)

    def publication(self, digest: str) -> dict[str, Any] | None:
        """Return the publication in a bundle's folder, None where it is unsigned."""
        path = self.path(digest) / SIGNATURE
        return json.loads(path.read_bytes()) if path.exists() else None
