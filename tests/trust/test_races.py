"""Two machines' worth of processes on one home: daemons, a command line and the UI at once."""

import shutil
from pathlib import Path

import pytest

from tests.trust.faults import launched, raced
from tests.trust.scene import SYMBOL, Scene, promises_broken, staged

ROUNDS = 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str, str]]:
    home = tmp_path_factory.mktemp("races") / "home"
    return home, staged(home)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_one_approval_is_published_once_by_everybody(
    world: tuple[Path, tuple[str, str, str]], turn: int, tmp_path: Path
) -> None:
    """The same answer by command line and UI, two daemons that publish and swap, and a job."""
    home = tmp_path / "home"
    template, (_, newer, newest) = world
    shutil.copytree(template, home)
    scene = Scene(home)
    request_id = scene.retrain(newest, week=3, champion=newer)
    acts = [
        lambda: scene.approve(request_id),
        lambda: scene.approve(request_id),
        scene.catch_up,
        scene.catch_up,
        lambda: scene.publish(request_id),
        lambda: scene.retrain(newest, week=3, champion=newer),
    ]
    shift = turn % len(acts)
    assert all(raced(acts[shift:] + acts[:shift]))
    launched(lambda: scene.approve(request_id), str(home))
    assert launched(scene.catch_up, str(home)).raised == ""
    assert promises_broken(scene) == []
    kinds = [entry.kind for entry in scene.store.entries()]
    assert kinds.count("published") <= 3


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_rollback_beside_a_publication_leaves_one_order_of_both(
    world: tuple[Path, tuple[str, str, str]], turn: int, tmp_path: Path
) -> None:
    """Whichever comes first, the epochs are a line, and all agree on who is champion."""
    home = tmp_path / "home"
    template, (older, newer, newest) = world
    shutil.copytree(template, home)
    scene = Scene(home)
    request_id = scene.retrain(newest, week=3, champion=newer)
    scene.approve(request_id)
    acts = [
        scene.roll_back,
        scene.roll_back,
        lambda: scene.publish(request_id),
        scene.catch_up,
        scene.catch_up,
        scene.rotate,
    ]
    shift = turn % len(acts)
    assert all(raced(acts[shift:] + acts[:shift]))
    assert launched(scene.catch_up, str(home)).raised == ""
    assert promises_broken(scene) == []
    assert scene.store.standing(SYMBOL).champion in (older, newer)
