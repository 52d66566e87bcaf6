"""Text that came from outside (typed, or read from files), made fit for one line of a terminal."""

from __future__ import annotations

#: Longest part of a typed value that a message repeats, in characters.
LONGEST = 80


def printable(text: str, keep: str = "") -> str:
    r"""Write control characters, line ends and invisible marks as escapes, ``\x1b`` for instance.

    Args:
        text: Any text, lone surrogates included.
        keep: Characters that stay, ``"\n"`` for text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, limit: int = LONGEST) -> str:
    """Cut a text that is longer than ``limit`` characters, and say how long it is."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def spelled(value: object) -> str:
    """Spell a value for a message as it would be typed: ``null``, ``true``, ``'word'``, ``[1]``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        # Of a path the end tells most.
        is_path = isinstance(value, str) and "/" in value
        return shortened(repr(value), LONGEST * 3 if is_path else LONGEST)
    except ValueError:  # an integer of thousands of digits
        return f"a value of type {type(value).__name__}"


def visible(character: str) -> str:
    """Return a single character as something to be seen, also where it is white space."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(character, printable(character))


def in_two(heading: str) -> tuple[str, ...]:
    """Break a long heading after an underscore or a dot near its middle."""
    places = [at + 1 for at, letter in enumerate(heading[:-1]) if letter in "_."]
    if len(heading) <= 12 or not places:
        return (heading,)
    middle = min(places, key=lambda at: abs(at - len(heading) / 2))
    return heading[:middle], heading[middle:]
