"""`tidegate keys`: the life of the publisher's keys, from a shell."""

from rich.console import Console
from rich.table import Table

from orchestration.environments import Environment
from orchestration.resources.clock import now_ms
from orchestration.resources.key_cycle import KeyCycle


def print_keys(console: Console) -> None:
    """Print every key, its state and how many publications it signed."""
    table = Table(title="keys", title_justify="left")
    for column in ("key", "state", "publications"):
        table.add_column(column)
    for one in _cycle().known():
        table.add_row(one.key_id, one.state, str(one.publications))
    console.print(table)


def rotate_key(*, actor: str, reason: str, console: Console) -> None:
    """Make a new signing key and say what follows."""
    key_id = _cycle().rotate(actor, reason, now_ms())
    console.print(
        f"key {key_id} signs from now on; the runner reads it with the next bundle. Earlier keys "
        "still verify: `tidegate keys revoke` ends one",
        soft_wrap=True,
    )


def revoke_key(key_id: str, *, actor: str, reason: str, console: Console) -> None:
    """Revoke an earlier key and name what was signed anew."""
    symbols = _cycle().revoke(key_id, actor, reason, now_ms())
    anew = ", ".join(symbols) or "nothing, for it signed nothing that stands"
    console.print(f"key {key_id} is revoked; signed anew: {anew}", soft_wrap=True)


def _cycle() -> KeyCycle:
    return KeyCycle(Environment.from_environ().home)
