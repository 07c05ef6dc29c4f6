"""What is said of a training run, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from coordspec_cli.train_console import Log, fitted, metrics_text

pytestmark = pytest.mark.terminal

VALUES = {
    "loss": 1.23456,
    "learning_rate": 1e-5,
    "speed/tokens_per_s": 1234.5,
    "private/other": 1.0,
    "rollout/recall": 0.5,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def log() -> tuple[Log, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return Log(stream, clock), stream, clock


def test_a_log_begins_with_the_facts() -> None:
    made, stream, _ = log()
    made.note("loading tiny")
    made.facts({"records": "8", "parameters": "2 of 3 are trained"})
    made.start(0, 4)
    assert stream.getvalue().splitlines() == [
        "loading tiny",
        "records     8",
        "parameters  2 of 3 are trained",
        "training from step 0 to 4",
    ]


@pytest.mark.parametrize("seconds", [0.01, 1.0, 29.0, 31.0, 300.0])
def test_a_log_is_no_flood_and_never_silent_for_long(seconds: float) -> None:
    made, stream, clock = log()
    made.start(0, 1000)
    said, lines = 0.0, 1
    for step in range(1, 1001):
        clock.now += seconds
        made.advance(step)
        if (now := stream.getvalue().count("\n")) > lines:
            said, lines = clock.now, now
        assert clock.now - said <= max(30, seconds)
    assert lines <= 1 + clock.now / 30 + 1


def test_the_time_left_is_that_of_the_steps_of_this_run() -> None:
    made, stream, clock = log()
    made.start(100, 160)
    clock.now = 120
    made.advance(120)  # 6 s a step, 40 steps to go
    assert stream.getvalue().splitlines()[-1] == "step 120 of 160, about 4 min left"


def test_metrics_of_fast_steps_are_thinned_but_for_evaluations_and_the_last() -> None:
    made, stream, clock = log()
    made.start(0, 100)
    for step in range(1, 101):
        clock.now += 1
        made.metrics(step, {"eval/loss": 2.0} if step == 7 else {"loss": float(step)})
    lines = stream.getvalue().splitlines()[1:]
    assert lines[:3] == ["step 1  loss 1", "step 6  loss 6", "step 7  eval/loss 2"]
    assert lines[-1] == "step 100  loss 100"
    assert len(lines) <= 23


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_line_of_metrics_fits_the_terminal_and_loses_nothing(columns: int) -> None:
    text = metrics_text(12, VALUES)
    assert "private/other" not in text
    shown = fitted(text, columns)
    assert max(map(len, shown.splitlines())) <= columns
    assert shown.split() == text.split()
    assert "loss 1.235" in shown
