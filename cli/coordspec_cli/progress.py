"""Bars on standard error for work that takes a while: one way for every command, and only where somebody is looking."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TextIO, TypeVar

from coordspec.notes import Note, silent
from coordspec.validate.run import known_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")
_PATIENCE: Final = 1.0  # seconds; what is over before needs no bar
_PAUSE: Final = 0.1  # seconds between two looks of a bar; drawing for every record would cost more than the work


class _Bar:
    """What is done, and from the end of ``_PATIENCE`` on a bar that shows it.

    There is no thread that draws: worker processes are forked while the bar is up.
    """

    def __init__(self, what: str, total: int | None, unit: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._what, self._total, self._unit, self._stream, self._clock = what, total, unit, stream, clock
        self._due, self._done = clock() + _PATIENCE, 0
        self._shown: Progress | None = None

    def advance(self, count: int) -> None:
        self._done += count
        self._draw(self._clock())

    def note(self, what: str, done: int, total: int | None) -> None:
        """Another piece of work is shown at once, if any was."""
        now = self._clock()
        if self._shown is not None and what != self._what:
            self._due = now
            self._shown.reset(self._shown.task_ids[0], total=total, description=what)
        self._what, self._done, self._total = what, done, total
        self._draw(now)

    def _draw(self, now: float) -> None:
        if now < self._due:
            return
        self._due = now + _PAUSE
        if self._shown is None:
            self._shown = self._open()
        self._shown.update(self._shown.task_ids[0], completed=self._done, total=self._total, refresh=True)

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()

    def _open(self) -> Progress:
        from rich.console import Console  # noqa: PLC0415 (only for a bar)
        from rich.progress import Progress  # noqa: PLC0415

        bar = Progress(
            *_columns(self._unit, self._total),
            console=Console(file=self._stream, force_terminal=True),
            transient=True,
            auto_refresh=False,
        )
        bar.add_task(self._what, total=self._total)
        bar.start()
        return bar


def _columns(unit: str, total: int | None) -> Sequence[ProgressColumn]:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    name, bar = TextColumn("{task.description}", markup=False), BarColumn()
    if unit == "parts":
        return name, bar, TaskProgressColumn(), TimeElapsedColumn()
    if unit == "bytes":
        return name, bar, DownloadColumn(), TimeRemainingColumn()
    if total is None:
        return name, TextColumn(f"{{task.completed:,}} {unit}"), TimeElapsedColumn()
    return name, bar, TextColumn(f"{{task.completed:,}} of {{task.total:,}} {unit}"), TimeRemainingColumn()


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    unit: Literal["bytes", "records", "entries"] = "records",
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[int], None]]:
    """A function to call with every further part that is done. Without a terminal it does nothing."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield lambda _: None
        return
    bar = _Bar(what, total, unit, stream, clock)
    try:
        yield bar.advance
    finally:
        bar.close()


@contextmanager
def stages(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Note]:
    """One bar for pieces of work that come one after the other. Without a terminal it does nothing."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield silent
        return
    bar = _Bar("", None, "parts", stream, clock)
    try:
        yield bar.note
    finally:
        bar.close()


@contextmanager
def reading(what: str, paths: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """``progress`` over the bytes of these files."""
    with progress(what, known_bytes(paths), "bytes") as advance:
        yield advance


def counted(items: Iterable[T], advance: Callable[[int], None]) -> Iterator[T]:
    """The items, each told to ``advance`` before it is handed on."""
    for item in items:
        advance(1)
        yield item
