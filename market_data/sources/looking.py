"""What a source of files looked for and what it found instead, in one sentence for a person."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

MOST_SEEN = 2_000  # files; beyond, a folder is too large to be told
SHOWN = 4
DEEPEST = 10


def files_below(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the files below a folder that end so, in order, without hidden ones."""
    for place, folders, names in os.walk(folder, followlinks=True):
        deep = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(one for one in folders if one[0] != "." and deep < DEEPEST)
        for name in sorted(names):
            if name.endswith(tuple(suffixes)) and name[0] != ".":
                yield Path(place, name)


def there(folder: Path, looked_for: str, suffixes: Sequence[str], hint: str = "") -> str:
    """Return that a file was looked for, where, and which files of its kind lie there.

    Those whose names hold `hint` are shown first.
    """
    found: list[str] = []
    for path in files_below(folder, suffixes):
        found.append(str(path.relative_to(folder)))
        if len(found) == MOST_SEEN:
            break
    shown = sorted(found, key=lambda name: hint not in name)[:SHOWN]
    more = len(found) - len(shown)
    others = f", and {more:,} more" if more else ""
    held = f"there are {', '.join(shown)}{others}" if found else f"no {' or '.join(suffixes)} there"
    return f"looked for {looked_for} below {folder.resolve()} and found none; {held}"
