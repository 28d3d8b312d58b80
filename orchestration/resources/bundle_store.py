"""Bundles on disk: one folder each, named by its digest, and beside them what they were made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel.bundle import SIGNATURE, BundleRefused, verify_contents
from kernel.digest import canonical_json
from kernel.errors import MissingError
from market_data.storage.parquet import replace_file
from research.training.tracked import TRIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleStore:
    """Hold bundles in `home/bundles/<digest>/`, their candidates in `home/candidates/<digest>/`.

    A candidate is kept because its fold graphs are needed to hold a later one against it.
    """

    home: str

    @property
    def root(self) -> Path:
        """Return the folder of bundles."""
        return Path(self.home) / "bundles"

    def path(self, digest: str) -> Path:
        """Return the folder of a bundle; raise MissingError for one that was never written."""
        path = self.root / digest
        if not digest or not path.is_dir():
            raise MissingError(f"bundle {digest!r}: found no folder {path}, expected one")
        return path

    def standing_digest(self, digest: str, symbol: str, timeframe: str) -> str:
        """Return `digest` while every file matches it, else a sentence that says what broke."""
        try:
            verify_contents(self.path(digest), symbol=symbol, timeframe=timeframe)
        except (BundleRefused, FileNotFoundError) as error:
            return str(error)
        return digest

    def sign(self, publication: Mapping[str, Any]) -> None:
        """Put a publication into its bundle's folder, whole or not at all.

        The file is made beside the folder: a reader that looks in never meets a stray name.
        """
        target = self.path(publication["digest"]) / SIGNATURE
        fresh = self.root / f".{publication['digest']}.{SIGNATURE}"
        replace_file(fresh, canonical_json(publication))
        fresh.replace(target)

    def publication(self, digest: str) -> dict[str, Any] | None:
        """Return the publication in a bundle's folder, None where it is unsigned."""
        path = self.path(digest) / SIGNATURE
        return json.loads(path.read_bytes()) if path.exists() else None

    def keep_candidate(self, digest: str, files: Mapping[str, bytes]) -> None:
        """Keep the candidate that a bundle was made of."""
        for name, content in files.items():
            replace_file(Path(self.home) / "candidates" / digest / name, content)

    def trial(self, digest: str) -> str:
        """Return the id of the trial that a bundle's candidate was, '' where none is kept."""
        path = Path(self.home) / "candidates" / digest / TRIAL
        return path.read_text() if digest and path.exists() else ""

    def candidate(self, digest: str) -> dict[str, bytes] | None:
        """Return the candidate behind a bundle, None for the digest '' of no bundle."""
        if not digest:
            return None
        folder = Path(self.home) / "candidates" / digest
        if not folder.is_dir():
            raise MissingError(
                f"candidate of bundle {digest}: found no folder {folder}, expected the graphs that "
                "its folds were judged by; restore candidates/ from a copy"
            )
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
