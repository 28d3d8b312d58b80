"""Compiled code is the same code, and its cache can cost time but never a run."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernel.compiled import compiled
from kernel.machine_code import read_sealed, write_sealed
from tests.hung import HUNG_S

ROOT = Path(__file__).parents[2]
FACTOR = 3.0
TRY = """
from kernel.compiled import compiled
from kernel.features.calendar import sine_of_turn
fast = compiled(sine_of_turn)
print(repr(fast(0.1)), sum(fast.stats.cache_hits.values()))
"""


def scaled(x: float) -> float:
    return FACTOR * x


def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += scaled(value)
    return result


def with_addend(addend: float):
    def added(x: float) -> float:
        return scaled(x) + addend

    return added


def divided(a: float, b: float) -> float:
    return a / b


def turned_over(x: float) -> float:
    return divided(1.0, x)


def compile_in_fresh_process(cache: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", TRY],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen) -> tuple[float, int]:
    """Return the value that the process computed and how often it found compiled code on disk."""
    out, errors = process.communicate(timeout=HUNG_S)
    assert process.returncode == 0, errors
    value, hits = out.split()
    return float(value), int(hits)


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "tidegate" / "machine-code").glob("*.machine"))


def test_callees_are_compiled_with_their_caller() -> None:
    """A loop over a helper function gives the bytes of the plain loop."""
    values = np.random.default_rng(0).normal(size=1_000)
    assert compiled(total)(values) == total(values)
    assert compiled(total) is compiled(total)


def test_closures_keep_what_they_enclose() -> None:
    """Two closures of one function, with a compiled callee inside, stay two functions."""
    one = with_addend(1.0)
    two = with_addend(2.0)
    assert (compiled(one)(5.0), compiled(two)(5.0)) == (16.0, 17.0)


def test_a_division_by_zero_raises_compiled_as_it_does_plain() -> None:
    """An unguarded division fails loudly in history too, in what it calls as well."""
    with pytest.raises(ZeroDivisionError):
        divided(1.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        compiled(divided)(1.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        compiled(turned_over)(0.0)


def test_a_function_inlined_in_one_place_can_still_be_called_alone() -> None:
    """What is a callee here and compiled by itself there gives the same in both."""
    assert compiled(turned_over)(4.0) == compiled(divided)(1.0, 4.0) == 0.25


def test_a_second_process_finds_the_compiled_code(tmp_path: Path) -> None:
    """The first process compiles and keeps, the second one loads."""
    assert answer(compile_in_fresh_process(tmp_path))[1] == 0
    assert len(entries(tmp_path)) == 1
    assert answer(compile_in_fresh_process(tmp_path))[1] == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_a_damaged_entry_costs_a_compilation(tmp_path: Path, damage: str) -> None:
    """A cache file that is empty, cut off, altered by one bit or not ours is replaced, not run."""
    expected, _ = answer(compile_in_fresh_process(tmp_path))
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "empty": b"",
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "foreign": b"not compiled code",
    }
    entry.write_bytes(damaged[damage])
    assert answer(compile_in_fresh_process(tmp_path)) == (expected, 0)
    assert answer(compile_in_fresh_process(tmp_path)) == (expected, 1)


def test_processes_that_compile_at_once_all_succeed(tmp_path: Path) -> None:
    """Four processes with one empty cache agree, and leave one sound entry and no leftovers."""
    processes = [compile_in_fresh_process(tmp_path) for _ in range(4)]
    (value,) = {answer(process)[0] for process in processes}
    assert value == pytest.approx(math.sin(0.2 * math.pi), abs=4e-16)
    assert len(list((tmp_path / "tidegate" / "machine-code").iterdir())) == 1
    assert answer(compile_in_fresh_process(tmp_path))[1] == 1


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Where the cache folder cannot exist, the run compiles and goes on."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    value, hits = answer(compile_in_fresh_process(blocked))
    assert value == pytest.approx(math.sin(0.2 * math.pi), abs=4e-16)
    assert hits == 0


def test_sealed_files_round_trip(tmp_path: Path) -> None:
    """What is sealed is read back; what is missing reads as nothing."""
    path = tmp_path / "deep" / "entry"
    assert read_sealed(path) is None
    write_sealed(path, ("payload", 1))
    assert read_sealed(path) == ("payload", 1)
