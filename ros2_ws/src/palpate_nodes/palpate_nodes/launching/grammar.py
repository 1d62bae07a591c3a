r"""The substitution language of ROS 2 launch files: text with `$(name argument ...)` in it.

The grammar is that of ros2/launch (`launch/share/launch/frontend/grammar.lark`, 3.7): arguments are separated by one
space, may be quoted with ' or ", and may hold further substitutions; a backslash takes the next character literally.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from palpate_nodes.launching.errors import LaunchError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Call:
    """One `$(name argument ...)`; every argument is a template of its own."""

    name: str
    arguments: tuple[Template, ...]


Template = tuple[str | Call, ...]
"""Text and substitutions in the order in which they are joined."""


def parse(text: str) -> Template:
    """Parse a template.

    Raises:
        LaunchError: a substitution is not closed, has no name, or its arguments are not separated by one space.
    """
    reader = _Reader(text)
    parts = reader.template("")
    assert reader.at_end()
    return parts


class _Reader:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def peek(self, length: int = 1) -> str:
        return self.text[self.position : self.position + length]

    def after_backslash(self) -> bool:
        r"""Whether the character before is a backslash, be it escaped itself: ROS reads `\\$(` as text, too."""
        return self.text[self.position - 1 : self.position] == "\\"

    def at_call(self) -> bool:
        """Whether a substitution begins here."""
        return self.peek(2) == "$(" and not self.after_backslash()

    def fail(self, problem: str) -> LaunchError:
        return LaunchError(f"in '{self.text}', at character {self.position + 1}: {problem}")

    def template(self, quote: str) -> Template:
        """Text and substitutions up to the end, or up to the closing quote (which is consumed)."""
        parts: list[str | Call] = []
        plain: list[str] = []
        while not self.at_end():
            if quote and self.peek() == quote:
                self.position += 1
                return _joined(parts, plain)
            if self.peek() == "\\" and len(self.peek(2)) == 2:
                plain.append(self.peek(2))
                self.position += 2
            elif self.at_call():
                parts = [*_joined(parts, plain), self.call(quote)]
                plain = []
            else:
                plain.append(self.peek())
                self.position += 1
        if quote:
            raise self.fail(f"the quote {quote} is not closed")
        return _joined(parts, plain)

    def call(self, quote: str) -> Call:
        """A substitution, from `$(` to its `)`; `quote` is the quote around it, which may not occur inside."""
        self.position += 2
        match = _NAME.match(self.text, self.position)
        if not match:
            raise self.fail("a substitution needs a name after '$('")
        self.position = match.end()
        arguments: list[Template] = []
        while self.peek() == " ":
            self.position += 1
            arguments.append(self.argument(quote))
        if self.peek() != ")":
            found = self.peek() or "the end"
            raise self.fail(
                f"expected ')' or one space and an argument, found {found!r}; quote an argument that has spaces"
            )
        self.position += 1
        return Call(match.group(), tuple(arguments))

    def argument(self, quote: str) -> Template:
        """One argument: quoted, or text and substitutions without spaces."""
        if not quote and self.peek() in ("'", '"') and self.peek():
            mark = self.peek()
            self.position += 1
            return self.template(mark)
        parts: list[str | Call] = []
        plain: list[str] = []
        forbidden = {" ", ")", "(", quote} if quote else {" ", ")", "(", "'", '"'}
        while not self.at_end():
            if self.peek() == "\\" and len(self.peek(2)) == 2:
                plain.append(self.peek(2))
                self.position += 2
            elif self.at_call():
                parts = [*_joined(parts, plain), self.call(quote)]
                plain = []
            elif self.peek() in forbidden and not (self.peek() in "()" and self.after_backslash()):
                break
            else:
                plain.append(self.peek())
                self.position += 1
        argument = _joined(parts, plain)
        if not argument:
            raise self.fail("an argument is empty; write '' for an empty one, and one space between arguments")
        return argument


def _joined(parts: list[str | Call], plain: list[str]) -> Template:
    """Parts with the collected plain text, its escapes resolved, at the end."""
    if not plain:
        return tuple(parts)
    return (*parts, _ESCAPE.sub(r"\1", "".join(plain)))
