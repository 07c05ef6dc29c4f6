"""``coordspec spec lint``: every rule of family SPC, its examples, and the corners of OpenSpec's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordspec.contracts import Rule, rule, rule_book
from coordspec.errors import Issue
from coordspec.spec.lint import lint_tree

RULES = [item for item in rule_book().by_name.values() if item.family == "SPC"]
MAIN = "openspec/specs/demo/spec.md"
DELTA = "openspec/changes/demo/specs/demo/spec.md"
SCENARIO = "#### Scenario: S\n- **WHEN** a\n- **THEN** b\n"
REQUIREMENT = "### Requirement: R\nIt SHALL.\n\n" + SCENARIO
WHOLE = REQUIREMENT + "#### Scenario: T\n- **WHEN** a\n- **THEN** b\n"


def write(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def lint(root: Path, text: str | bytes, name: str = MAIN, main: str | None = None) -> list[Issue]:
    if main is not None:
        write(root, MAIN, main)
    write(root, name, text)
    return lint_tree(root)


def found(issues: list[Issue]) -> list[tuple[str, int | None]]:
    return [(issue.name, issue.place.line) for issue in issues]


# ---------------------------------------------------------------- the examples of the rules


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.name)
def test_the_bad_example_breaks_its_rule_and_no_other(item: Rule, tmp_path: Path) -> None:
    assert item.bad is not None
    issues = lint(tmp_path, item.bad, item.params.get("file", MAIN), item.params.get("main"))
    assert {issue.name for issue in issues} == {item.name}
    assert all(issue.message and issue.hint for issue in issues)


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.name)
def test_the_good_example_breaks_nothing(item: Rule, tmp_path: Path) -> None:
    name = item.params.get("good_file", item.params.get("file", MAIN))
    assert lint(tmp_path, item.good, name, item.params.get("main")) == []


# ---------------------------------------------------------------- requirements and scenarios


@pytest.mark.parametrize(
    "steps",
    [
        "- **WHEN** a\n- **THEN** b",
        "* **When** a\n* **Then** b",
        "- WHEN a\n- THEN b",
        "- **WHEN** a, **THEN** b",
        "**WHEN** a\n**THEN** b\n**AND** c",
        "- **Given** x\n- **When** a\n- **Then** b",
        "WHEN a\nTHEN b",
        "1. __WHEN__ a\n2. __THEN__ b",
        "- **GIVEN** x\n- **WHEN** a\n- **AND** y\n- **THEN** b",
        "| **WHEN** a | x |\n| **THEN** b | y |",
    ],
)
def test_steps(steps: str, tmp_path: Path) -> None:
    assert lint(tmp_path, f"## Requirements\n### Requirement: R\nIt MUST.\n#### Scenario: S\n{steps}\n") == []


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ("- **WHEN** a", "THEN"),
        ("- **THEN** a", "WHEN"),
        ("- it does", "WHEN and no THEN"),
        ("", "WHEN and no THEN"),
        ("- **WHENEVER** a\n- **THEN** b", "WHEN"),
        ("- **WHEN** a, then b, THEN c", "THEN"),
        ("- when a\n- then b", "WHEN and no THEN"),
        ("```\n- **WHEN** a\n- **THEN** b\n```", "WHEN and no THEN"),
        ("<!-- - **WHEN** a -->\n- **THEN** b", "WHEN"),
        ("<!--\n- **WHEN** a\n-->\n- **THEN** b", "WHEN"),
    ],
)
def test_missing_steps(steps: str, missing: str, tmp_path: Path) -> None:
    (issue,) = lint(tmp_path, f"## Requirements\n### Requirement: R\nIt MUST.\n#### Scenario: S\n{steps}\n")
    assert (issue.name, issue.place.line) == ("missing-step", 4)
    assert issue.message == f"the scenario 'S' has no {missing}"


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = f"\ufeff# T\r\n\r\n## Requirements\r\n\r\n{REQUIREMENT}{SCENARIO}".replace("\n", "\r\n").replace(
        "\r\r", "\r"
    )
    assert found(lint(tmp_path, text)) == [("duplicate-scenario", 11)]


@pytest.mark.parametrize(
    ("heading", "name"),
    [("### Documentation", "heading-label"), ("#### Edge", "heading-label"), ("##### Scenario: x", "heading-level")],
)
def test_headings_that_are_something_else(heading: str, name: str, tmp_path: Path) -> None:
    text = f"## Requirements\n{REQUIREMENT}\n{heading}\nIt SHALL.\n- **WHEN** a\n- **THEN** b\n"
    issues = lint(tmp_path, text)
    assert name in {issue.name for issue in issues}


@pytest.mark.parametrize("info", ["yml coordspec", "coordspec", "yaml  coordspec x", "YAML coordspec"])
def test_blocks_with_another_info_string(info: str, tmp_path: Path) -> None:
    issues = lint(tmp_path, f"## Requirements\n{REQUIREMENT}```{info}\nharness: x\n```\n")
    assert found(issues) == [("broken-block", 8)]


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("#### Scenario:Name", "#### Scenario: Name"),
        ("#### scenario :Name", "#### Scenario: Name"),
        ("#### Scenario:", "#### Scenario: TITLE"),
        ("### Requirement:Name", "### Requirement: Name"),
        ("####Scenario:Name", "#### Scenario: Name"),
        ("#####Scenario: Name", "#### Scenario: Name"),
    ],
)
def test_headings_without_their_spaces(heading: str, wanted: str, tmp_path: Path) -> None:
    text = f"## Requirements\n{REQUIREMENT}\n{heading}\nIt SHALL.\n- **WHEN** a\n- **THEN** b\n"
    issues = [issue for issue in lint(tmp_path, text) if issue.name != "no-scenario"]
    assert [(i.place.line, i.message, i.hint) for i in issues] == [
        (9, f"`{heading}` is not written as `{wanted}`", f"write `{wanted}`")
    ]


@pytest.mark.parametrize(
    "heading", ["#### Scenario: a", "####\tScenario:\ta", "#### SCENARIO:  a ##", "#### Scenario: :"]
)
def test_headings_that_are_spaced_well(heading: str, tmp_path: Path) -> None:
    assert lint(tmp_path, f"## Requirements\n### Requirement: R\nIt MUST.\n{heading}\nWHEN a\nTHEN b\n") == []


def test_a_scenario_that_is_lost_behind_a_table(tmp_path: Path) -> None:
    table = "```yaml coordspec\nharness: h\n"
    text = f"## Requirements\n{REQUIREMENT}{table}\n{SCENARIO.replace(': S', ': T')}{table}```\n"
    (issue,) = lint(tmp_path, text)
    assert (issue.place.line, issue.message) == (
        11,
        "`#### Scenario: T` is lost in the block that ``` opens in line 8",
    )
    assert issue.hint.startswith("close that block with ``` before it; ")


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (MAIN, ""),
        ("openspec/changes/x/proposal.md", ""),
        ("openspec/changes/x/design.md", " \n\t\r\n"),
        ("openspec/changes/x/tasks.md", "\ufeff\n"),
        ("openspec/changes/x/tasks.md", "# Tasks\n\n## 1. First\n"),
        ("openspec/changes/x/specs/demo/spec.md", "<!-- later -->"),
        ("openspec/changes/x/.openspec.yaml", "# schema: spec-driven\n"),
        ("openspec/config.yaml", ""),
    ],
)
def test_files_that_say_nothing(name: str, text: str, tmp_path: Path) -> None:
    (issue,) = lint(tmp_path, text, name)
    assert (issue.name, issue.place.path, issue.place.line) == ("empty-artifact", name, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("openspec/changes/archive/old/design.md", ""),
        ("openspec/changes/.x/design.md", ""),
        ("openspec/specs/demo/.keep", ""),
        ("openspec/changes/x/tasks.md", "- [ ] do it"),
        ("openspec/changes/x/design.md", "```\ncode\n```"),
        ("openspec/changes/x/.openspec.yaml", "schema: spec-driven"),
    ],
)
def test_files_that_are_let_alone(name: str, text: str, tmp_path: Path) -> None:
    assert lint(tmp_path, text, name) == []


# ---------------------------------------------------------------- deltas


def delta(root: Path, text: str) -> list[str]:
    main = f"## Requirements\n{WHOLE}"
    return [issue.message for issue in lint(root, text, DELTA, main)]


def test_a_modified_requirement_repeats_every_scenario(tmp_path: Path) -> None:
    assert delta(tmp_path, f"## MODIFIED Requirements\n{REQUIREMENT}") == [
        f"the modified requirement 'R' lacks the scenario 'T' of {MAIN}:8"
    ]


def test_a_renamed_requirement_repeats_every_scenario(tmp_path: Path) -> None:
    text = "## RENAMED Requirements\n- FROM: `### Requirement: R`\n- TO: `### Requirement: Q`\n\n"
    text += "## MODIFIED Requirements\n"
    assert delta(tmp_path, text + REQUIREMENT.replace(": R", ": Q")) == [
        f"the modified requirement 'Q' lacks the scenario 'T' of {MAIN}:8"
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"## MODIFIED Requirements\n{REQUIREMENT.replace(': R', ': RR')}",
        "## REMOVED Requirements\n- `### Requirement: RR`\n",
        "## RENAMED Requirements\n- FROM: `### Requirement: RR`\n- TO: `### Requirement: Q`\n",
    ],
)
def test_a_requirement_that_the_main_spec_lacks(text: str, tmp_path: Path) -> None:
    operation = text.split()[1]
    assert delta(tmp_path, text) == [f"{operation} names the requirement 'RR', which {MAIN} does not have"]


def test_a_delta_of_a_new_capability(tmp_path: Path) -> None:
    assert lint(tmp_path, f"## ADDED Requirements\n{REQUIREMENT}", DELTA) == []
    issues = lint(tmp_path, f"## MODIFIED Requirements\n{REQUIREMENT}", DELTA)
    assert [issue.name for issue in issues] == ["unknown-requirement"]


def test_a_delta_is_held_to_what_a_main_spec_is(tmp_path: Path) -> None:
    text = "## ADDED Requirements\n### Requirement: A\nIt does.\n\n### Requirement: a\nIt SHALL.\n"
    text += f"{SCENARIO}\n## Notes\n{REQUIREMENT}"
    assert found(lint(tmp_path, text, DELTA)) == [
        ("missing-keyword", 2),
        ("no-scenario", 2),
        ("duplicate-requirement", 5),
        ("misplaced-requirement", 12),
    ]


def test_a_delta_section_in_a_main_spec(tmp_path: Path) -> None:
    (issue,) = lint(tmp_path, f"## ADDED Requirements\n{REQUIREMENT}")
    assert issue.message == "the requirement 'R' stands under '## ADDED Requirements', where OpenSpec does not look"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (f"## ADDED Requirements\n{REQUIREMENT}", ["'R', which stands at {main}:2 with another text"]),
        (
            f"## ADDED Requirements\n{REQUIREMENT.replace(': R', ': r')}",
            ["'r', which stands at {main}:2 with another text"],
        ),
        (f"## ADDED Requirements\n{WHOLE}", []),  # merged already, and archived as it is
        (f"## ADDED Requirements\n{WHOLE.replace(chr(10), chr(13) + chr(10))}", []),
        (f"## REMOVED Requirements\n- `### Requirement: R`\n\n## ADDED Requirements\n{REQUIREMENT}", []),
        (
            "## RENAMED Requirements\n- FROM: `### Requirement: R`\n- TO: `### Requirement: Q`\n\n"
            f"## ADDED Requirements\n{REQUIREMENT}",
            [],
        ),
        (f"## ADDED Requirements\n{REQUIREMENT.replace(': R', ': New')}", []),
    ],
)
def test_adding_what_is_there(text: str, messages: list[str], tmp_path: Path) -> None:
    assert delta(tmp_path, text) == [f"ADDED names the requirement {each.format(main=MAIN)}" for each in messages]


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("openspec/changes/x/tasks.md", "# Tasks\n\nDo it.\n", [None]),
        ("openspec/changes/x/tasks.md", "- do it\n", [None]),
        ("openspec/changes/x/tasks.md", "```\n- [ ] an example\n```\n", [None]),
        ("openspec/changes/x/tasks.md", "- [ ] do it\n", []),
        ("openspec/changes/x/notes/tasks.md", "prose\n", []),
        ("openspec/changes/archive/x/tasks.md", "# Tasks\n\nDone.\n", []),
        ("openspec/changes/archive/x/tasks.md", "- [x] a\n- [ ] b\n  - [~] c\n", [2, 3]),
        ("openspec/changes/archive/x/notes/tasks.md", "- [ ] b\n", []),
    ],
)
def test_boxes(name: str, text: str, lines: list[int | None], tmp_path: Path) -> None:
    rule_name = "archived-unticked" if "archive" in name else "tasks-without-boxes"
    assert found(lint(tmp_path, text, name)) == [(rule_name, line) for line in lines]


def test_an_archived_task_is_named(tmp_path: Path) -> None:
    (issue,) = lint(tmp_path, "- [ ] 1.1 Measure it\n", "openspec/changes/archive/x/tasks.md")
    assert issue.message == "the task '1.1 Measure it' was archived with an open box"


# ---------------------------------------------------------------- the command


def test_the_report(coordspec: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, MAIN, "## Requirements\n### Requirement: R\nIt SHALL.\n#### Scenario: S\n- **WHEN** a\n")
    done = coordspec("spec", "lint")
    assert done.status == 1
    assert done.out == (
        f"{MAIN}:4: error: the scenario 'S' has no THEN (SPC009 missing-step)\n"
        f"    hint: {rule('missing-step').fix}\n"
        "\n"
        "  1  error    SPC009  missing-step\n"
        "\n"
        "note: each file of specs, open changes and archived tasks is a record of this report\n"
        "✗ 1 error in 1 of 1 record (1 file)\n"
    )


@pytest.mark.parametrize("form", ["json", "jsonl", "sarif", "github", "junit"])
def test_the_report_in_other_forms(form: str, coordspec: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, "sub/" + MAIN, "")
    done = coordspec("spec", "lint", "--root", "sub", "--format", form, "-o", "out")
    assert (done.status, done.out) == (1, "")
    assert f"sub/{MAIN}" in (tmp_path / "out").read_text()


def test_a_sound_tree(coordspec: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, MAIN, f"## Requirements\n{REQUIREMENT}")
    done = coordspec("spec", "lint", "--format", "json")
    assert done.status == 0
    assert json.loads(done.out)["summary"]["valid"] == 1


def test_no_root(coordspec: Callable[..., Any]) -> None:
    for name in ("lint", "coverage"):
        done = coordspec("spec", name)
        assert (done.status, done.out) == (2, "")
        assert done.err == "error: .: holds no folder openspec/; name the folder that does as --root\n"


def test_a_file_that_is_not_utf8(coordspec: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, MAIN, b"\xff")
    done = coordspec("spec", "lint")
    assert done.status == 2
    assert done.err.startswith(f"error: {MAIN}: is not UTF-8: byte 0xff at 0")
