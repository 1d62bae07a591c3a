"""Work in pieces: made by several processes at once, and kept in a folder, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

from palpate_sim.library import PartLibrary, Progress


class Piece(Protocol):
    """So many parts, and the name of their file."""

    @property
    def count(self) -> int:
        """Number of parts."""

    @property
    def file(self) -> str:
        """Its name in the folder."""


P = TypeVar("P", bound=Piece)
T = TypeVar("T")


def all_pieces(
    pieces: Sequence[P], folder: Path | None, read: Callable[[Path, P], T | None],
    make: Callable[[P, Path | None, PartLibrary | None], T], library: PartLibrary | None, jobs: int,
    progress: Progress | None = None,
) -> Iterator[tuple[int, T]]:  # fmt: skip
    """Gives every piece with its number: first those that are kept, then the others as they get done.

    Args:
        pieces: what is wanted.
        folder: where pieces are kept; made if need be. None: nowhere.
        read: a kept piece, None if it has to be made anew.
        make: makes a piece and keeps it at the path, if there is one; a function of a module, for other processes.
        library: geometry; None: the cached one, loaded when something has to be made.
        jobs: processes.
        progress: called with parts done and parts in all.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    total, done = sum(piece.count for piece in pieces), 0
    for number, result in _results(pieces, folder, read, make, library, jobs):
        yield number, result
        done += pieces[number].count
        if progress is not None:
            progress(done, total)


def _results(
    pieces: Sequence[P], folder: Path | None, read: Callable[[Path, P], T | None],
    make: Callable[[P, Path | None, PartLibrary | None], T], library: PartLibrary | None, jobs: int,
) -> Iterator[tuple[int, T]]:  # fmt: skip
    paths = [None if folder is None else folder / piece.file for piece in pieces]
    missing = []
    for number, (piece, path) in enumerate(zip(pieces, paths, strict=True)):
        known = None if path is None else read(path, piece)
        if known is None:
            missing.append(number)
        else:
            yield number, known
    if library is None and missing:
        library = PartLibrary.load_or_build()
    if jobs == 1 or len(missing) < 2:
        for number in missing:
            yield number, make(pieces[number], paths[number], library)
        return
    with ProcessPoolExecutor(min(jobs, len(missing)), get_context("spawn")) as pool:
        numbers = {pool.submit(make, pieces[number], paths[number], library): number for number in missing}
        try:
            for future in as_completed(numbers):
                yield numbers.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
