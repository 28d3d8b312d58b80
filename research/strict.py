"""How settings are declared and read: every key is named, of its kind, and in one file."""

import json
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from kernel.errors import SettingsError

# Read as JSON, where a strict validator takes a list for a tuple and a mapping for a dataclass.
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
Kind = TypeVar("Kind")


def read(kind: type[Kind], path: Path) -> Kind:
    """Return what the file says; raise `SettingsError` naming the file, the key and what is due."""
    written = content(path)
    try:
        return TypeAdapter(kind).validate_json(json.dumps(written, default=str))
    except ValidationError as error:
        raise SettingsError.of(path, error.errors()) from error


def content(path: Path) -> dict[str, Any]:
    """Return the keys of a YAML file; raise `SettingsError` where there is none, or no mapping."""
    if not path.is_file():
        raise SettingsError(f"{path}: found no such file, expected a YAML mapping: restore it")
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{path}: found text that is not YAML ({error}), expected a mapping"
        ) from error
    if not isinstance(written, dict):
        raise SettingsError(f"{path}: found {type(written).__name__}, expected a mapping of keys")
    return cast("dict[str, Any]", written)
