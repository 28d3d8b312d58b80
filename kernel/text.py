"""What a person wrote, as data: one line that no reader takes for an instruction."""


def plain(text: str) -> str:
    """Return `text` as one line of characters that can be seen.

    Control and format characters (line breaks, escapes of a terminal, marks that turn the direction
    of writing) and halves of surrogate pairs become spaces, and spaces in a row become one. What
    looks like markup stays what it is: whoever renders it escapes it.
    """
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
