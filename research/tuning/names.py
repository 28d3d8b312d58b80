"""Which bases may be tuned: those with a file in `tuning/` of the folder of settings."""

from pathlib import Path

FOLDER = "tuning"


def known(folder: Path) -> tuple[str, ...]:
    """Return the names of the bases that have a space, in order."""
    return tuple(sorted(path.stem for path in (folder / FOLDER).glob("*.yaml")))
