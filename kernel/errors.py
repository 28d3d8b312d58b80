"""The base of every error that a person can act on, and that of a settings file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self


class TidegateError(Exception):
    """Something that a person can correct; its text says what was found, expected and what to do.

    Commands print the text without a traceback, Dagster shows it as the failure of the step.
    `passing` says whether the same may succeed later without anybody having done anything.
    """

    passing = False


class MissingError(TidegateError, FileNotFoundError):
    """A file or folder of ours that is not there; says what makes it or brings it back."""


class SettingsError(TidegateError):
    """A settings file that says what it may not; names the file, the key, found and expected."""

    @classmethod
    def of(cls, path: Path, errors: Sequence[Mapping[str, Any]]) -> Self:
        """Return the error for what a validator found: mappings with `loc`, `type`, `msg`, `input`,
        as pydantic's are.
        """
        return cls(f"{path}: " + "; ".join(_told(error) for error in errors))


def _told(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"] if not _is_a_place_in_a_union(part))
    wanted = str(error["msg"]).removeprefix("Value error, ")
    match error["type"]:
        case "missing":
            return f"missing key {key}: add it"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key {key}: remove or correct it"
        case _:
            found = f"{error['input']!r:.80}"
            return f"{key} is {found}: {wanted}" if key else f"found {found}: {wanted}"


def _is_a_place_in_a_union(part: object) -> bool:
    return isinstance(part, str) and not part.replace("_", "").replace("-", "").isalnum()
