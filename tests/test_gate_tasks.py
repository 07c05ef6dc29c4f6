"""Ticked tasks: which lines count, and that openspec counts the same ones where there are no fences."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordspec.spec.tasks import read_tasks, ticked_lines
from openspec_trees import CHANGE, complete_tree, raw, write

TICKED = [
    "- [x] a",
    "* [X] a",
    "+ [x] a",
    "1. [x] a",
    "12) [x] a",
    "  - [x] a",
    "\t- [x] a",
    "- [ x ] a",
    "-[x]a",
    "- [x]",
]
OPEN = ["- [ ] a", "- [] a", "- [~] a", "1. [-] a", "- [ ](./link.md)"]
OTHER = [
    *OPEN,
    *("- [xx] a", "- [x](./link.md)", "- [x][link]", "- [a](./link.md)", "[x] a", "a - [x] b", "- x", ""),
    "1234567890. [x] a",
]


@pytest.mark.parametrize("line", TICKED)
def test_a_ticked_task(line: str) -> None:
    assert ticked_lines(line) == [1]


@pytest.mark.parametrize("line", OTHER)
def test_no_ticked_task(line: str) -> None:
    assert ticked_lines(line) == []


def test_line_numbers_whatever_the_line_ends() -> None:
    lines = ["\ufeff- [x] 1", "- [ ] 2", "", "- [X] 4"]
    for end in ("\n", "\r\n", "\r"):
        assert ticked_lines(end.join(lines)) == [1, 4]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("```\n- [x] a\n```\n- [x] b", [4]),
        ("~~~ md\n- [x] a\n```\n- [x] b\n~~~\n- [x] c", [6]),
        ("````\n```\n- [x] a\n````\n- [x] b", [5]),
        ("   ```\n- [x] a\n   ```   \n- [x] b", [4]),
        ("```\n- [x] a\n``` md\n- [x] b\n```\n- [x] c", [6]),
        ("```\n- [x] a\n\n- [x] b", [2, 4]),  # never closed
        ("```a```\n- [x] a\n```\n- [x] b", [2, 4]),  # inline code, then a fence that is never closed
        ("    ```\n- [x] a\n    ```\n", [2]),  # indented code is no fence
        ("<!--\n- [x] a\n-->", [2]),  # openspec reads comments, too
    ],
)
def test_fences(text: str, numbers: list[int]) -> None:
    assert ticked_lines(text) == numbers


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_openspec_counts_the_same_tasks(tmp_path: Path, end: str) -> None:
    root = complete_tree(tmp_path)
    text = end.join(["\ufeff# Tasks", *TICKED, *OTHER])
    write(root / f"openspec/changes/{CHANGE}/tasks.md", text)
    [change] = raw(root, "list", "--json").answer["changes"]
    assert change["completedTasks"] == len(ticked_lines(text)) == len(TICKED)
    assert change["totalTasks"] == len(read_tasks(text)) == len(TICKED) + len(OPEN)


def test_openspec_counts_examples_in_fences_and_we_do_not(tmp_path: Path) -> None:
    root = complete_tree(tmp_path)
    text = "- [ ] a\n```\n- [x] b\n```\n"
    write(root / f"openspec/changes/{CHANGE}/tasks.md", text)
    [change] = raw(root, "list", "--json").answer["changes"]
    assert (change["completedTasks"], ticked_lines(text)) == (1, [])
