"""The audit log: any tampering is found, and the first broken entry is named."""

from hypothesis import assume, given
from hypothesis import strategies as st

from kernel.digest import sha256_hex
from research.chain import Entry, following
from research.promotion.audit import Head, read, seal


def sign(message: bytes) -> bytes:
    """Stand in for Ed25519: unforgeable to a test that does not call it."""
    return sha256_hex(b"secret" + message).encode()


def verify(signature: bytes, message: bytes) -> bool:
    return signature == sign(message)


bodies = st.lists(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3),
    min_size=1,
    max_size=7,
)


def log_of(contents: list[dict[str, object]]) -> tuple[list[Entry], Head]:
    entries: list[Entry] = []
    for at_ms, body in enumerate(contents):
        entries.append(following(entries, at_ms, "published", body))
    return entries, seal(entries[-1], sign)


def text(entries: list[Entry]) -> list[bytes]:
    return [entry.line() for entry in entries]


@given(bodies)
def test_read_returns_every_entry_of_an_intact_log(contents: list[dict[str, object]]) -> None:
    """An untouched log reads back whole, whatever its entries hold."""
    entries, head = log_of(contents)
    assert read(b"".join(text(entries)), head, verify) == (entries, None)


@given(bodies, st.data())
def test_read_names_the_entry_in_which_a_byte_was_flipped(
    contents: list[dict[str, object]], data: st.DataObject
) -> None:
    """Flipping any bits of any byte, newlines included, breaks the log at that byte's entry."""
    entries, head = log_of(contents)
    lines = text(entries)
    flipped = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[flipped]) - 1))
    bits = data.draw(st.integers(1, 255))
    line = bytearray(lines[flipped])
    line[place] ^= bits
    lines[flipped] = bytes(line)
    _, broken = read(b"".join(lines), head, verify)
    assert broken is not None
    assert broken.seq == flipped


@given(bodies, st.data())
def test_read_names_the_place_of_a_deleted_entry(
    contents: list[dict[str, object]], data: st.DataObject
) -> None:
    """Deleting any entry, the last one included, breaks the log where it stood."""
    entries, head = log_of(contents)
    deleted = data.draw(st.integers(0, len(entries) - 1))
    lines = text(entries)
    del lines[deleted]
    _, broken = read(b"".join(lines), head, verify)
    assert broken is not None
    assert broken.seq == deleted


@given(bodies, st.data())
def test_read_names_the_first_of_two_swapped_entries(
    contents: list[dict[str, object]], data: st.DataObject
) -> None:
    """Changing the order of two entries breaks the log at the first of them."""
    entries, head = log_of(contents)
    assume(len(entries) > 1)
    first = data.draw(st.integers(0, len(entries) - 2))
    second = data.draw(st.integers(first + 1, len(entries) - 1))
    lines = text(entries)
    lines[first], lines[second] = lines[second], lines[first]
    _, broken = read(b"".join(lines), head, verify)
    assert broken is not None
    assert broken.seq == first


@given(bodies, st.data())
def test_read_names_a_rewritten_entry_whose_chain_was_mended(
    contents: list[dict[str, object]], data: st.DataObject
) -> None:
    """Rewriting history and every hash after it still breaks against the signed head."""
    entries, head = log_of(contents)
    rewritten = data.draw(st.integers(0, len(entries) - 1))
    forged: list[Entry] = []
    for entry in entries:
        body = {"forged": True} if entry.seq == rewritten else entry.body
        forged.append(following(forged, entry.at_ms, entry.kind, body))
    _, broken = read(b"".join(text(forged)), head, verify)
    assert broken is not None
    assert broken.seq == head.seq


@given(bodies)
def test_read_accepts_one_entry_that_its_writer_did_not_live_to_seal(
    contents: list[dict[str, object]],
) -> None:
    """A writer killed between entry and head loses nothing; half an entry never was."""
    entries, head = log_of(contents)
    one = following(entries, 1, "published", {})
    whole = b"".join(text(entries))
    assert read(whole + one.line(), head, verify) == ([*entries, one], None)
    assert read(whole + one.line()[:-1], head, verify) == (entries, None)


@given(bodies)
def test_read_refuses_two_unsealed_entries(contents: list[dict[str, object]]) -> None:
    """Entries appended without the key are named, however well they are chained."""
    entries, head = log_of(contents)
    extended = list(entries)
    for _ in range(2):
        extended.append(following(extended, 1, "published", {}))
    _, broken = read(b"".join(text(extended)), head, verify)
    assert broken is not None
    assert broken.seq == len(entries)


def test_read_refuses_a_head_signed_by_another_key() -> None:
    """A head that the publisher's key did not sign seals nothing."""
    entries, head = log_of([{}, {}])
    foreign = Head(head.seq, head.hash, "AAAA")
    _, broken = read(b"".join(text(entries)), foreign, verify)
    assert broken is not None
    assert "signature" in broken.found
