"""What the gate makes of changes, beside what the real command line itself says about the same trees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordspec.contracts import rule
from coordspec.errors import Issue
from coordspec.findings.outcome import Outcome
from coordspec.spec.document import spec_files
from coordspec.spec.gate import change_folders, gate
from coordspec.spec.openspec_cli import OpenSpecAnswers, ask_openspec
from openspec_trees import (
    CHANGE,
    DELTA,
    SPEC,
    add_change,
    add_spec,
    complete_tree,
    openspec,
    raw,
    tree_of_changes,
    write,
)

FAMILY = "GAT"


def brief(issue: Issue, below: Path) -> tuple[str, str]:
    line = f":{issue.place.line}" if issue.place.line else ""
    return issue.name, os.path.relpath(issue.place.path, below) + line


def found(outcome: Outcome, below: Path) -> list[tuple[str, str]]:
    """Rule and place of the gate's own findings below a folder; lint and coverage have tests of their own."""
    assert outcome.unreadable == ()
    own = (issue for issue in outcome.issues if rule(issue.name).family == FAMILY and issue.name not in COVERAGE)
    return [brief(issue, below) for issue in own if Path(issue.place.path).is_relative_to(below)]


COVERAGE = ("tests-not-run", "scenario-not-covered")


# ---------------------------------------------------------------- changes


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_of_changes(tmp_path_factory.mktemp("changes"))


@pytest.fixture(scope="module")
def answers(tree: Path) -> OpenSpecAnswers:
    return ask_openspec(openspec(), tree)


@pytest.fixture(scope="module")
def outcome(tree: Path) -> Outcome:
    return gate(tree, openspec())


STATES: dict[str, list[tuple[str, str]]] = {
    CHANGE: [],
    "bare": [
        ("blocked-artifact", "."),
        ("openspec-validate", "."),
        ("blocked-artifact", "design.md"),
        ("missing-artifact", "proposal.md"),
        ("blocked-artifact", "tasks.md"),
    ],
    "begun": [
        ("missing-artifact", "."),
        ("openspec-validate", "."),
        ("missing-artifact", "design.md"),
        ("blocked-artifact", "tasks.md"),
    ],
    "blank-design": [("blank-artifact", "design.md"), ("artifact-out-of-order", "tasks.md")],
    "blank-delta": [
        ("openspec-validate", "."),
        ("blank-artifact", "specs/sums/spec.md"),
        ("openspec-validate", "specs/sums/spec.md"),
        ("artifact-out-of-order", "tasks.md"),
    ],
    "blank-tasks": [("blank-artifact", "tasks.md")],
    "no-design": [("missing-artifact", "design.md"), ("artifact-out-of-order", "tasks.md")],
    "no-proposal": [
        ("artifact-out-of-order", "design.md"),
        ("missing-artifact", "proposal.md"),
        ("artifact-out-of-order", "specs/sums/spec.md"),
    ],
    "no-delta": [("missing-artifact", "."), ("openspec-validate", "."), ("artifact-out-of-order", "tasks.md")],
    "skips-specs": [("openspec-validate", ".")],
    "skips-and-has": [("openspec-validate", ".")],
    "other-schema": [("change-not-loaded", ".openspec.yaml")],
    "broken-metadata": [("change-not-loaded", ".openspec.yaml")],
    "scenario-loss": [("openspec-validate", "specs/sums/spec.md")],
    "crlf": [],
    "bom": [],
    "ticked": [],
    "ticked-early": [
        ("missing-artifact", "design.md"),
        ("artifact-out-of-order", "tasks.md"),
        ("task-ticked-early", "tasks.md:3"),
    ],
    "ticked-in-fence": [("missing-artifact", "design.md"), ("artifact-out-of-order", "tasks.md")],
    "folder": [("change-not-loaded", ".")],
}


@pytest.mark.parametrize("name", STATES)
def test_findings_of_a_change(name: str, tree: Path, outcome: Outcome) -> None:
    assert found(outcome, tree / "openspec/changes" / name) == STATES[name]


def test_every_change_of_the_tree_has_its_findings_stated(tree: Path) -> None:
    assert {folder.name for folder in change_folders(tree)} == set(STATES)


MESSAGES = {
    ("bare", "blocked-artifact"): (
        "the change bare has no specs (specs/**/*.md), which waits for proposal (proposal.md)",
        "write proposal (proposal.md) first, then specs",
    ),
    ("begun", "missing-artifact"): (
        "the change begun has no specs (specs/**/*.md)",
        "write it; `openspec instructions specs --change begun` says what belongs in it",
    ),
    ("blank-design", "blank-artifact"): (
        "the change blank-design has a blank file for design",
        "write it, or delete the file; `openspec instructions design --change blank-design` says what belongs in it",
    ),
    ("blank-design", "artifact-out-of-order"): (
        "the change blank-design has tasks, but not what it builds on: design (design.md)",
        "write design (design.md), then read tasks again",
    ),
    ("ticked-early", "task-ticked-early"): (
        "the change ticked-early has 2 tasks ticked, but lacks design (design.md)",
        "write design (design.md), or take the ticks back",
    ),
    ("other-schema", "change-not-loaded"): (
        "the change other-schema cannot be loaded: Unknown schema 'spec-drivn'. Available: spec-driven",
        "correct its .openspec.yaml; the schema is spec-driven, or one that stands in openspec/schemas/",
    ),
}


@pytest.mark.parametrize(("change", "name"), MESSAGES)
def test_words(change: str, name: str, outcome: Outcome) -> None:
    first = next(i for i in outcome.issues if i.name == name and f"changes/{change}" in i.place.path)
    assert (first.message, first.hint) == MESSAGES[change, name]


def test_scenario_loss_is_named(outcome: Outcome) -> None:
    [issue] = [i for i in outcome.issues if "scenario-loss" in i.place.path and i.name == "openspec-validate"]
    assert issue.message.startswith(
        'openspec says of the change scenario-loss: MODIFIED "Adding" omits scenario(s) the current spec still has: '
        '"No number".'
    )


def test_openspec_alone_would_have_passed_these(answers: OpenSpecAnswers) -> None:
    """Why the gate does not take openspec's word: what it calls complete and valid although a part is missing."""
    complete = {
        change.change_name
        for change in answers.status.changes
        if change.artifacts and all(artifact.status in ("done", "skipped") for artifact in change.artifacts)
    }
    valid = {item.id for item in answers.validation.items or () if item.type == "change" and item.valid}
    sound = {name for name, findings in STATES.items() if findings in ([], STATES["skips-specs"])} - {"skips-and-has"}
    assert complete & valid - sound == {"blank-design", "blank-tasks"}
    assert valid - complete >= {"no-design", "no-proposal", "ticked-early", "other-schema", "broken-metadata"}


def test_what_openspec_skips_is_advice(tree: Path, outcome: Outcome) -> None:
    [issue] = [i for i in outcome.issues if "skips-specs" in i.place.path]
    assert issue.severity == "advice"


def test_the_same_specs_and_changes_as_openspec(tree: Path, answers: OpenSpecAnswers) -> None:
    write(tree / "openspec/changes/archive/2026-01-01-old/proposal.md", "x")
    write(tree / "openspec/changes/.hidden/proposal.md", "x")
    items = raw(tree, "validate", "--all", "--strict", "--json").answer["items"]
    assert sorted(i["id"] for i in items if i["type"] == "change") == [f.name for f in change_folders(tree)]
    assert [i["id"] for i in items if i["type"] == "spec"] == [f.parent.name for f in spec_files(tree)]
    assert sorted(c.change_name for c in answers.status.changes) == sorted(STATES)


def test_openspec_exits_with_success_over_blocked_artifacts(tmp_path: Path) -> None:
    root = complete_tree(tmp_path)
    (root / f"openspec/changes/{CHANGE}/design.md").unlink()
    assert raw(root, "status", "--all", "--json").status == 0
    assert raw(root, "validate", "--all", "--strict", "--json").status == 0
    assert {name for name, _ in found(gate(root, openspec()), root)} == {"missing-artifact", "artifact-out-of-order"}


# ---------------------------------------------------------------- schemas of the project's own

SCHEMA = """name: lean
version: 1
artifacts:
  - {id: note, generates: note.md, description: d, template: t.md, requires: []}
  - {id: plan, generates: plan.md, description: d, template: t.md, requires: [note]}
apply: {requires: [plan], tracks: plan.md}
"""


def test_a_schema_of_the_projects_own_says_what_is_owed(tmp_path: Path) -> None:
    root = complete_tree(tmp_path)
    write(root / "openspec/schemas/lean/schema.yaml", SCHEMA)
    write(root / "openspec/schemas/lean/templates/t.md", "x")
    for name, parts in {"a": ["note", "plan"], "b": ["plan"]}.items():
        write(root / f"openspec/changes/{name}/.openspec.yaml", "schema: lean\nskip_specs: true\n")
        for part in parts:
            write(root / f"openspec/changes/{name}/{part}.md", "- [x] done\n")
    write(root / "openspec/changes/b/tasks.md", "- [x] where openspec looks if nothing else is tracked\n")
    findings = found(gate(root, openspec()), root / "openspec/changes")
    assert [entry for entry in findings if entry[0] != "openspec-validate"] == [
        ("missing-artifact", "b/note.md"),
        ("artifact-out-of-order", "b/plan.md"),
        ("task-ticked-early", "b/plan.md:1"),
        ("task-ticked-early", "b/tasks.md:1"),
    ]


def test_schemas_of_the_machine_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data/openspec/schemas/mine/schema.yaml", SCHEMA.replace("lean", "mine"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = complete_tree(tmp_path / "tree")
    folder = add_change(root, "theirs", schema="mine")
    assert raw(root, "status", "--all", "--json").status == 0
    assert found(gate(root, openspec()), folder) == [("change-not-loaded", ".openspec.yaml")]


# ---------------------------------------------------------------- specs


def test_specs_with_any_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    root = complete_tree(tmp_path)
    add_spec(root, "crlf", SPEC.replace("\n", "\r\n"))
    add_spec(root, "bom", "\ufeff" + SPEC)
    add_spec(root, "nested/deep", SPEC)
    add_spec(root, "weak", SPEC.replace("SHALL", "can"))
    assert found(gate(root, openspec()), root) == [("openspec-validate", "openspec/specs/weak/spec.md")]


def test_a_finding_in_a_spec_names_the_place(tmp_path: Path) -> None:
    root = complete_tree(tmp_path)
    add_spec(root, "sums", SPEC.replace("SHALL", "can"))
    [issue] = [i for i in gate(root, openspec()).issues if i.name == "openspec-validate"]
    assert issue.message.startswith("openspec says of the spec sums: requirements[0]: ")
    assert issue.hint == "correct it, and ask again with `openspec validate sums --type spec --strict`"


# ---------------------------------------------------------------- roots


def no_root(folder: Path) -> Iterator[str]:
    outcome = gate(folder, openspec())
    assert outcome.unreadable == ()
    for issue in outcome.issues:
        assert issue.name == "no-openspec-root"
        yield issue.message.split(": ", 1)[1]


@pytest.mark.parametrize(
    ("made", "root", "reason", "source"),
    [
        ("", "", "it holds no folder openspec/", "implicit"),
        ("openspec", "", "its openspec/ holds neither config.yaml nor specs/ nor changes/", "implicit"),
        ("openspec/specs", "below", "it holds no folder openspec/", "nearest"),  # the root of a folder above is not it
    ],
)
def test_a_folder_that_is_no_root(made: str, root: str, reason: str, source: str, tmp_path: Path) -> None:
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    (tmp_path / root).mkdir(exist_ok=True)
    assert list(no_root(tmp_path / root)) == [reason]
    said = raw(tmp_path / root, "status", "--all", "--json")
    assert (said.status, said.answer["root"]["source"]) == (0, source)


def test_a_root_that_points_to_a_store(tmp_path: Path) -> None:
    write(tmp_path / "openspec/config.yaml", "schema: spec-driven\nstore: elsewhere\n")
    [reason] = no_root(tmp_path)
    assert "elsewhere" in reason


@pytest.mark.parametrize("part", ["config.yaml", "config.yml", "specs/", "changes/"])
def test_a_root_with_nothing_in_it(tmp_path: Path, part: str) -> None:
    path = tmp_path / "openspec" / part
    path.mkdir(parents=True) if part.endswith("/") else write(path, "schema: spec-driven\n")
    assert raw(tmp_path, "status", "--all", "--json").answer["root"]["source"] == "nearest"
    outcome = gate(tmp_path, openspec())
    assert [brief(issue, tmp_path) for issue in outcome.issues] == [("nothing-specified", "openspec")]
    assert outcome.issues[0].message == "openspec/ holds neither a spec nor a change"


def test_a_root_behind_a_link(tmp_path: Path) -> None:
    complete_tree(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/openspec/changes" / CHANGE / "design.md").write_text("")
    assert found(gate(tmp_path / "link", openspec()), tmp_path / "link") == [
        ("blank-artifact", f"openspec/changes/{CHANGE}/design.md"),
        ("artifact-out-of-order", f"openspec/changes/{CHANGE}/tasks.md"),
    ]


def test_paths_lead_there_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = complete_tree(tmp_path / "tree")
    write(root / f"openspec/changes/{CHANGE}/specs/sums/spec.md", DELTA.replace("SHALL", "can"))
    (root / f"openspec/changes/{CHANGE}/design.md").unlink()
    for folder, given in ((tmp_path, Path("tree")), (root, Path())):
        monkeypatch.chdir(folder)
        outcome = gate(given, openspec())
        assert {issue.place.path for issue in outcome.issues if issue.name not in COVERAGE} == {
            str(given / "openspec/changes" / CHANGE / part) for part in ("design.md", "specs/sums/spec.md", "tasks.md")
        }
        assert all(Path(path).is_file() for path in outcome.files)
