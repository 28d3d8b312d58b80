"""Words of others on a screen: what they look like is what they are."""

from rich.text import Text


def shown(words: object, style: str = "") -> Text:
    """Return words for a console that would read markup in them."""
    seen = "".join(one if one.isprintable() or one == "\n" else " " for one in str(words))
    return Text(seen, style=style)
