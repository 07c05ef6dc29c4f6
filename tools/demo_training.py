"""Training runs of the demo, each shown as one line that a person can follow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

TENTHS = 10
CLEAR = "\r\x1b[K"


class Progress:
    """Steps, loss and time left: on a terminal one line that is written over, off one ten lines a run."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic, tty: bool | None = None
    ) -> None:
        """``tty`` says if ``stream``, standard output unless given, can write over a line; None to ask the stream."""
        self._stream = sys.stdout if stream is None else stream
        self._tty = self._stream.isatty() if tty is None else tty
        self._clock = clock
        self._first, self._steps, self._since, self._told = 0, 0, 0.0, 0
        self._loss, self._line = "", ""

    def note(self, text: str) -> None:
        """What is being done, in words; shown where it can be written over."""
        if self._tty:
            self._stream.write(f"{CLEAR}  {text.splitlines()[0][:70]} …")
            self._stream.flush()

    def start(self, done: int, steps: int) -> None:
        """The steps begin behind ``done``; the last one is number ``steps``."""
        self._first, self._steps, self._since = done, steps, self._clock()

    def metrics(self, _step: int, values: Mapping[str, float]) -> None:
        """Remember the loss."""
        if "loss" in values:
            self._loss = f"loss {values['loss']:6.3f}   "

    def advance(self, step: int) -> None:
        """A step is done."""
        left = (self._clock() - self._since) / (step - self._first) * (self._steps - step)
        self._line = f"  step {step:>{len(str(self._steps))}} of {self._steps}   {self._loss}{minutes(left)} left"
        if self._tty:
            self._stream.write(CLEAR + self._line)
        elif step * TENTHS // self._steps > self._told:
            self._told = step * TENTHS // self._steps
            self._stream.write(self._line + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the last step to be seen; what comes next begins on a line of its own."""
        if self._tty:
            self._stream.write(f"{CLEAR}{self._line}\n")
            self._stream.flush()


def minutes(seconds: float) -> str:
    """A time as minutes and seconds, 3:07."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def train(config: str) -> int:
    """What `coordspec train CONFIG` does, with this progress instead of its own lines of metrics; returns the steps.

    Raises:
        CoordspecError: the config or the data has errors, or the run cannot go on.
    """
    from coordspec.config.check import CheckOptions, check_config  # noqa: PLC0415 (the first act does without)
    from coordspec.config.show import show_yaml  # noqa: PLC0415
    from coordspec.train.run import Listener  # noqa: PLC0415 (torch is loaded here)
    from coordspec.train.run import train as run  # noqa: PLC0415

    checked = check_config(config, CheckOptions(records=False))
    if checked.config is None:
        raise SystemExit("\n".join(map(str, checked.issues)))
    progress = Progress()
    listener = Listener(progress.note, progress.start, progress.advance, progress.metrics)
    done = run(checked.config, show_yaml(checked.config, checked.resolved), listener)
    progress.end()
    return done.steps
