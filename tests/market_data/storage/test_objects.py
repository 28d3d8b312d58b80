"""A folder and a bucket behind the same verbs: whole objects, and no update that is lost."""

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from market_data.storage.objects import Storage, StorageError, storage
from tests.market_data.object_store import ObjectStore


@pytest.fixture
def store(root: str) -> Storage:
    """Return the storage of an empty root."""
    return storage(root)


def count(store: Storage, name: str, times: int) -> None:
    """Count up a number in an object."""
    for _ in range(times):
        store.update(name, lambda content: b"%d" % (int(content or 0) + 1))


def count_elsewhere(root: str, name: str, times: int) -> None:
    """Count in another process."""
    count(storage(root), name, times)


def test_what_was_put_is_read(store: Storage):
    """Content comes back as it was, and nothing is there before it was put or after its end."""
    assert store.read("a/b.bin") is None
    store.replace("a/b.bin", b"\x00one")
    store.replace("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    store.delete("a/b.bin")
    store.delete("a/b.bin")
    assert store.read("a/b.bin") is None


def test_names_are_one_level_deep_and_without_hidden_ones(store: Storage):
    """A folder lists its objects and folders in order; a folder that is not there lists none."""
    for name in ("a/2.bin", "a/1.bin", "a/c/3.bin", "a/.hidden", "ab/4.bin"):
        store.replace(name, b"x")
    assert store.names("a") == ["1.bin", "2.bin", "c"]
    assert store.names("b") == []


def test_open_gives_every_object_in_the_order_asked_for(store: Storage):
    """Many objects come one after the other, each readable at any place."""
    names = [f"a/{number}.bin" for number in range(40)]
    for name in names:
        store.replace(name, name.encode())
    found: list[bytes] = []
    for file in store.open(names[::-1]):
        file.seek(2)
        found.append(file.read())
    assert found == [name[2:].encode() for name in names[::-1]]


def test_an_update_that_changes_nothing_writes_nothing(store: Storage):
    """None leaves the object as it is, and the caller is told."""
    assert not store.update("a/b.bin", lambda _: None)
    assert store.read("a/b.bin") is None
    assert store.update("a/b.bin", lambda content: (content or b"") + b"x")
    assert not store.update("a/b.bin", lambda content: None if content == b"x" else b"lost")
    assert store.read("a/b.bin") == b"x"


def test_threads_lose_no_update(store: Storage):
    """Six threads count up one number, and every count is there."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: count(store, "a/number", 8), range(6)))
    assert store.read("a/number") == b"48"


def test_processes_lose_no_update(root: str):
    """Two processes count up one number, and every count is there."""
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=count_elsewhere, args=(root, "a/number", 30)) for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert storage(root).read("a/number") == b"60"


def test_change_sees_what_another_writer_put_in_between(store: Storage):
    """A writer that was slower adds to what the faster one wrote."""
    store.replace("a/names", b'["first"]')
    seen: list[bytes | None] = []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) == 1 and not store.path("").startswith("/"):  # a folder is locked meanwhile
            store.replace("a/names", b'["first", "faster"]')
            seen.append(store.read("a/names"))
        return json.dumps([*json.loads(content or b"[]"), "slower"]).encode()

    store.update("a/names", change)
    assert json.loads(store.read("a/names") or b"") == [*json.loads(seen[-1] or b""), "slower"]


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path: Path):
    """Half a file is listed by nobody and is gone once somebody writes in its folder."""
    store = storage(str(tmp_path))
    store.replace("a/b.bin", b"x")
    half = tmp_path / "a" / ".b.bin.4711-1.tmp"
    half.write_bytes(b"ha")
    assert store.names("a") == ["b.bin"]
    store.replace("a/c.bin", b"x")
    assert not half.exists()


def test_store_that_ignores_conditions_is_refused(monkeypatch: pytest.MonkeyPatch):
    """Where a PUT cannot be made to depend on the old content, two writers would lose rows."""
    with ObjectStore.serving(forgetful=True) as store:
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        store.make("forgetful")
        with pytest.raises(StorageError, match="ignores IfNoneMatch and IfMatch of a PUT"):
            storage("s3://forgetful/lake").update("a", lambda _: b"x")


def test_missing_bucket_is_named(bucket: str):
    """Writing into a bucket that nobody made fails instead of looking like an empty lake."""
    with pytest.raises(FileNotFoundError, match="bucket does not exist"):
        storage(bucket.replace("market-", "nowhere-")).update("a", lambda _: b"x")


@pytest.mark.parametrize("root", ["gs://bucket/lake", "s3://", "http://host/lake"])
def test_root_of_another_kind_is_refused(root: str):
    """The error says what a root may be and how other stores are reached."""
    with pytest.raises(StorageError, match=r"expected a folder or s3://bucket.*AWS_ENDPOINT_URL"):
        storage(root)
