"""What a person sees of a training run: a bar on a terminal, lines in a log, and the same facts first in both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Final, TextIO

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from coordspec.train.run import Listener

_SHOWN: Final = (
    *("loss", "loss/base_ce", "coord/expected_bin_error", "learning_rate", "speed/tokens_per_s"),
    *("channel_a/ce", "channel_a/geo", "channel_b/ce", "channel_b/geo_matched", "channel_b/geo_fn"),
    *("rollout/recall", "rollout/precision", "rollout/mean_matched_iou", "rollout/truncation_rate"),
    *("eval/loss", "eval/coord/expected_bin_error", "eval/parse_rate", "eval/f1", "eval/f1@0.5"),
)
"""Metrics that are shown; metrics.jsonl has all of them."""

_QUIET: Final = 30.0  # seconds without a line of a log, after which a step is worth one
_CLOSE: Final = 5.0  # seconds between two lines of metrics of a log; metrics.jsonl has those between


def metrics_text(step: int, values: Mapping[str, float]) -> str:
    """``step 3  loss 1.234  …`` on one line."""
    return "  ".join([f"step {step}", *(f"{name} {values[name]:.4g}" for name in _SHOWN if name in values)])


def fitted(text: str, width: int) -> str:
    """The same in lines that fit a terminal; the pairs stay together where they fit."""
    pairs = [part.replace(" ", "\0") for part in text.split("  ")]
    lines = wrap("  ".join(pairs), max(width, 1), subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


@dataclass(slots=True)
class Log:
    """Lines for a stream that is no terminal: each stage, metrics now and then, a step if nothing was said for long."""

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _said: float = field(default=0.0, init=False)
    _metrics: float = field(default=float("-inf"), init=False)
    _began: tuple[float, int] = field(default=(0.0, 0), init=False)
    _steps: int = field(default=0, init=False)

    def note(self, text: str) -> None:
        self._say(text)

    def facts(self, facts: Mapping[str, str]) -> None:
        self._say("\n".join(f"{name:<10}  {value}" for name, value in facts.items()))

    def start(self, done: int, steps: int) -> None:
        self._began, self._steps = (self.clock(), done), steps
        self._say(f"training from step {done} to {steps}")

    def advance(self, step: int) -> None:
        now = self.clock()
        if now - self._said >= _QUIET:
            began, first = self._began
            left = (now - began) / (step - first) * (self._steps - step) if step > first else 0.0
            self._say(f"step {step} of {self._steps}, about {left / 60:.0f} min left")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = self.clock()
        evaluated = any(name.startswith("eval/") for name in values)
        if evaluated or step >= self._steps or now - self._metrics >= _CLOSE:
            self._metrics = now
            self._say(metrics_text(step, values))

    def _say(self, text: str) -> None:
        self._said = self.clock()
        click.echo(text, file=self.stream)
        self.stream.flush()


@dataclass(slots=True)
class Bar:
    """A bar with the loss and the time left, and lines of metrics above it that fit the terminal."""

    bar: Progress
    task: TaskID
    _loss: str = field(default="", init=False)

    def note(self, text: str) -> None:
        self.bar.update(self.task, description=text)

    def facts(self, facts: Mapping[str, str]) -> None:
        for name, value in facts.items():
            self.bar.console.print(f"{name:<10}  {value}", markup=False, highlight=False)

    def start(self, done: int, steps: int) -> None:
        self.bar.update(self.task, description="training", completed=done, total=steps)

    def advance(self, step: int) -> None:
        self.bar.update(self.task, description=f"training{self._loss}", completed=step)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self._loss = f"  loss {values['loss']:.4g}"
        text = fitted(metrics_text(step, values), self.bar.console.width)
        self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


def listener_of(shown: Log | Bar) -> Listener:
    """The listener of the library that tells all to this one."""
    from coordspec.train.run import Listener  # noqa: PLC0415 (torch is loaded with it)

    return Listener(shown.note, shown.start, shown.advance, shown.metrics, shown.facts)
