"""Facts, their times, and the number that makes a time interval searchable.

All times are integer nanoseconds; all intervals are half open, [start, end). A fact has two of them (Snodgrass,
Developing Time-Oriented Database Applications in SQL, 1999): the *valid* interval, when it held in the world, and the
*transaction* interval, from when we learnt it until it was superseded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

FOREVER = 2**63 - 1
"""End of an interval that has none, in nanoseconds."""

MAX_KEY = 255
"""Longest subject or source, in characters; predicates have half of it."""


class Node(str):
    """Name of a node of the graph, `kind:name`; a fact whose object is a `Node` is an edge."""

    __slots__ = ()


class Statement(NamedTuple):
    """What is claimed, without the time at which we learn it.

    Attributes:
        subject: node that it is about, `kind:name`.
        predicate: what is said of it.
        object: `Node` (makes an edge), text, or anything that JSON can hold.
        valid_from: when it began to hold, ns.
        valid_to: when it ceased to hold, ns, exclusive; `FOREVER` while it holds.
        confidence: 0..1.
        source: who says so (node, model, person).
        evidence: what it rests on, e.g. `SESSION/PART/PROBE`.
    """

    subject: str
    predicate: str
    object: Any
    valid_from: int = 0
    valid_to: int = FOREVER
    confidence: float = 1.0
    source: str = ""
    evidence: tuple[str, ...] = ()


class Fact(NamedTuple):
    """A statement and when we knew it. Times in nanoseconds; `FOREVER` where an interval has no end.

    Attributes:
        fact_id: 32 hexadecimal digits; equal statements learnt at the same time have the same id.
        supersedes: id of the fact that this one corrects, or empty.
        others: as in `Statement`; `learnt_at` <= t < `superseded_at` is when we held it to be true.
    """

    fact_id: str
    subject: str
    predicate: str
    object: Any
    valid_from: int
    valid_to: int
    learnt_at: int
    superseded_at: int
    confidence: float
    source: str
    evidence: tuple[str, ...]
    supersedes: str

    @property
    def current(self) -> bool:
        """True while nothing has superseded it."""
        return self.superseded_at == FOREVER


def part_node(session_id: str, part_id: str) -> Node:
    """Node of a part; part ids are unique within their session."""
    return Node(f"part:{session_id}/{part_id}")


def subject_of(text: str) -> Node:
    """Node that a person means: `kind:name` as it is, a bare name is a material."""
    text = text.strip()
    return Node(text if ":" in text else f"material:{text}")


def encode_object(value: Any) -> tuple[str, str]:
    """(kind, text) as stored.

    Raises:
        ValueError: JSON cannot hold it (NaN included).
    """
    if isinstance(value, Node):
        return "node", str(value)
    if isinstance(value, str):
        return "text", value
    return "json", canonical(value)


def decode_object(kind: str, text: str) -> Any:
    """The value that `encode_object` stored."""
    if kind == "json":
        return json.loads(text)
    return Node(text) if kind == "node" else text


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error


def digest(parts: Sequence[Any]) -> str:
    """32 hexadecimal digits that identify this sequence of JSON values."""
    return hashlib.sha256(canonical(list(parts)).encode()).hexdigest()[:32]


def fact_id_of(statement: Statement, learnt_at: int, supersedes: str) -> str:
    """Id from the content, so that storing the same thing twice is recognised."""
    kind, text = encode_object(statement.object)
    return digest([kind, text, learnt_at, supersedes, *statement[:2], *statement[3:]])


def fork_node(start: int, end: int) -> int:
    """Number under which a closed interval is indexed: its fork in a binary tree over all times.

    The tree is that of the relational interval tree (Kriegel, Poetke and Seidl, VLDB 2000): every positive integer is a
    node, its level is the number of its trailing zeros. An interval is kept at the highest node inside it, so that all
    intervals that hold at a time lie on the 63 nodes of `path_to` that time.

    Args:
        start: first nanosecond, >= 0.
        end: end, exclusive, > start and < FOREVER.

    Returns:
        A number >= 1.
    """
    low, high = start + 1, end  # first and last, shifted by one: the tree has no node 0
    level = (low ^ high).bit_length()  # below this level they differ
    if low == high or low % (1 << level) == 0:
        return low
    return high >> (level - 1) << (level - 1)


def path_to(time: int) -> list[int]:
    """Nodes at which an interval that contains this time can be kept: from the time's own node up to the root."""
    node = time + 1
    own_level = (node & -node).bit_length() - 1
    return [(node >> (level + 1) << (level + 1)) | (1 << level) for level in range(own_level, 63)]
