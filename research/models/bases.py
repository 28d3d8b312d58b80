"""A base by its name: `<name>.py` in this folder, and `<name>.yaml` in the folder of settings.

No other place knows which bases there are; `docs/add-a-model.md` shows how to add one.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_type_hints

from kernel.errors import SettingsError
from research.models.base import Base
from research.strict import read


def load(name: str, folder: Path) -> Base:
    """Return the base of that name with the settings of its file in `folder`.

    Raises `SettingsError` for a name without a file of code or of settings, and for a missing,
    unknown or wrong key.
    """
    path = folder / f"{name}.yaml"
    place = f"research.models.{name}"
    found = name.isidentifier() and find_spec(place) is not None
    kind = getattr(import_module(place), "BASE", None) if found else None
    if kind is None:
        raise SettingsError(
            f"{path}: found no base in research/models/{name}.py, expected one that ends in "
            "BASE = <its class>: see docs/add-a-model.md"
        )
    return kind(read(get_type_hints(kind)["settings"], path))
