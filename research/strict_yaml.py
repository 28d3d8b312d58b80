"""YAML files into frozen dataclasses: every key known, none missing, each of its type."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

_Settings = TypeVar("_Settings")


class SettingsError(ValueError):
    """A settings file that says what it may not; names the file, the key, found and expected."""


def load(kind: type[_Settings], path: Path) -> _Settings:
    """Return the dataclass written in the file."""
    return build(kind, read(path), path, "")


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in the file; raise SettingsError where there is none."""
    import yaml

    if not path.is_file():
        raise SettingsError(f"{path}: found no such file, expected a YAML mapping: restore it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{path}: found text that is not YAML ({error}), expected a mapping"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: found {type(content).__name__}, expected a mapping of keys")
    return cast(dict[str, Any], content)


def typed_fields(kind: type) -> list[tuple[Any, Any]]:
    """Return the fields of a dataclass with their types."""
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in fields(kind)]


def build(kind: type[_Settings], content: Mapping[str, Any], path: Path, prefix: str) -> _Settings:
    """Return the dataclass with the values of `content`; `prefix` leads to it inside the file.

    Raises SettingsError on an unknown, missing or mistyped key. A whole number is a number.
    """
    expected = {field.name: (field, hint) for field, hint in typed_fields(kind)}
    for key in content:
        if key not in expected:
            raise SettingsError(
                f"{path}: unknown key {prefix}{key}; expected one of {sorted(expected)}"
            )
    values: dict[str, Any] = {}
    for name, (field, hint) in expected.items():
        if name in content:
            values[name] = _value(hint, content[name], path, f"{prefix}{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SettingsError(
                f"{path}: missing key {prefix}{name}; expected {_describe(hint)}: add it"
            )
    return kind(**values)


def _value(hint: Any, found: Any, path: Path, key: str) -> Any:
    if is_dataclass(hint) and isinstance(found, dict):
        return build(cast("type[Any]", hint), cast("dict[str, Any]", found), path, f"{key}.")
    if get_origin(hint) is dict and isinstance(found, dict):
        inner, entries = get_args(hint)[1], cast("dict[str, Any]", found)
        return {name: _value(inner, item, path, f"{key}.{name}") for name, item in entries.items()}
    if get_origin(hint) is tuple and isinstance(found, list):
        inner = get_args(hint)[0]
        items = cast("list[Any]", found)
        return tuple(_value(inner, item, path, f"{key}[]") for item in items)
    if hint is float and type(found) in (int, float) and math.isfinite(found):
        return float(found)
    if hint is int and type(found) is int:
        return found
    if hint is str and isinstance(found, str):
        return found
    raise SettingsError(f"{path}: {key} is {found!r}, expected {_describe(hint)}")


def _describe(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", str: "a text"}
    if hint in names:
        return names[hint]
    return "a list" if get_origin(hint) is tuple else "a mapping"
