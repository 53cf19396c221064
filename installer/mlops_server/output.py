"""What our programs print. Words of others in it play no tricks with a terminal."""

import sys


def shown(text: str) -> str:
    """A text from outside in one line, safe on a terminal and in a log."""
    return "".join(c if c.isprintable() else "?" for c in text)


def printable(text: str) -> str:
    """The same for several lines."""
    return "\n".join(map(shown, text.expandtabs().split("\n")))


def say(text: str) -> None:
    """Print it at once: who reads along sees how far the work is, and threads speak too."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()
