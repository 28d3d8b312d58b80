"""Every step of every act of the trust chain fails once in every way, and is launched again."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from research.promotion.rules import standing
from tests.trust.faults import FAULTS, Fault, launched
from tests.trust.scene import SYMBOL, Scene, promises_broken, staged


@dataclass(frozen=True)
class Case:
    """An act, what comes before it, and what it ends in: who is champion, and the log's end."""

    before: tuple[str, ...]
    act: str
    champion: str
    kind: str


CASES = {
    "retrain": Case((), "retrain", "y", "requested"),
    "approve": Case(("retrain",), "approve", "z", "published"),
    "decline": Case(("retrain",), "decline", "y", "declined"),
    "publish": Case(("retrain", "approve"), "publish", "z", "published"),
    "publish what is red": Case(("retrain", "approve", "redden"), "publish", "y", "approved"),
    "roll back": Case((), "roll_back", "x", "rolled_back"),
    "swap": Case(("retrain", "approve", "publish"), "swap", "z", "published"),
    "follow": Case(("retrain", "approve"), "follow", "z", "published"),
}


@dataclass(frozen=True)
class World:
    """A scene that cases are copied from, and its bundles by name."""

    home: Path
    bundles: dict[str, str]

    def copied(self, home: Path) -> "Player":
        shutil.copytree(self.home, home)
        return Player(Scene(home), self.bundles)


@dataclass(frozen=True)
class Player:
    """Act on a scene by name, always on the request for the newest bundle."""

    scene: Scene
    bundles: dict[str, str]

    def act(self, name: str) -> Callable[[], object]:
        """Return an act to launch, as often as wanted."""
        match name:
            case "retrain":
                return lambda: self.scene.retrain(
                    self.bundles["z"], week=3, champion=self.bundles["y"]
                )
            case "redden":
                return (self.scene.home / "red").touch
            case "roll_back" | "swap" | "follow":
                return getattr(self.scene, name)
            case _:
                return lambda: getattr(self.scene, name)(self._request())

    def again(self, name: str) -> Callable[[], None]:
        """Return the act with what follows by itself, whatever the act comes to."""

        def launched_again() -> None:
            try:
                self.act(name)()
            finally:
                self.scene.catch_up()

        return launched_again

    def _request(self) -> str:
        (found,) = [
            one.id for one in self.scene.store.requests() if one.bundle_digest == self.bundles["z"]
        ]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("trust") / "home"
    older, newer, newest = staged(home)
    return World(home, {"x": older, "y": newer, "z": newest})


def begun(world: World, case: Case, home: Path) -> Player:
    """Return a copy of the world in which all that comes before the case has happened."""
    player = world.copied(home)
    for name in case.before:
        player.act(name)()
    return player


def settled(player: Player, case: Case) -> None:
    """Launch the act again, let the sensors look twice, and hold what is promised."""
    again = launched(player.again(case.act), str(player.scene.home))
    assert (again.raised != "") == (case.before[-1:] == ("redden",)), again.raised
    assert promises_broken(player.scene) == []
    entries = player.scene.store.entries()
    assert standing(entries, SYMBOL).champion == player.bundles[case.champion]
    done = [one.kind for one in entries if not one.kind.startswith(("swap_", "publish_refused"))]
    assert done[-1] == case.kind


def steps_of(world: World, case: Case, home: Path, *, readers: bool) -> int:
    """Return how many steps the act has when nothing fails."""
    player = begun(world, case, home)
    ended = launched(player.act(case.act), str(home), readers=readers)
    assert (ended.raised != "") == (case.before[-1:] == ("redden",)), ended.raised
    settled(player, case)
    return ended.steps


def fail_everywhere(world: World, name: str, tmp_path: Path, fault: Fault, *, readers: bool) -> int:
    """Fail at each step of an act in one way; return how many steps there were."""
    case = CASES[name]
    steps = steps_of(world, case, tmp_path / "whole", readers=readers)
    start = tmp_path / "start"
    begun(world, case, start)
    for at in range(steps):
        home = tmp_path / "now"
        shutil.copytree(start, home)
        player = Player(Scene(home), world.bundles)
        launched(player.act(case.act), str(home), at=at, fault=fault, readers=readers)
        try:
            settled(player, case)
        except AssertionError as error:
            raise AssertionError(f"{name}, {fault} at step {at} of {steps}") from error
        shutil.rmtree(home)
    return steps


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", sorted(set(CASES) - {"follow"}))
def test_an_act_that_fails_anywhere_and_is_launched_again_is_done_once(
    world: World, name: str, fault: Fault, tmp_path: Path
) -> None:
    """Broken, out of space, killed or overtaken by its own second launch before each write."""
    assert fail_everywhere(world, name, tmp_path, fault, readers=False) > 5


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_act_that_fails_at_any_look_is_done_once(
    world: World, name: str, fault: Fault, tmp_path: Path
) -> None:
    """The same at whatever is only read."""
    assert fail_everywhere(world, name, tmp_path, fault, readers=True) > 10


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_disk_that_fills_in_the_middle_of_a_write_tears_nothing(
    world: World, name: str, tmp_path: Path
) -> None:
    """Files end after some bytes: a line of the log, its head, a record, a signature."""
    case = CASES[name]
    start = tmp_path / "start"
    begun(world, case, start)
    log = (start / "promotion" / "audit.jsonl").stat().st_size
    for room in (0, 1, 100, 400, log, log + 1, log + 200):
        home = tmp_path / "now"
        shutil.copytree(start, home)
        player = Player(Scene(home), world.bundles)
        launched(player.act(case.act), str(home), room=room)
        settled(player, case)
        shutil.rmtree(home)
