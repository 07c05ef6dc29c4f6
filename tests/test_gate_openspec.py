"""What the gate makes of changes, beside what the real command line itself says about the same trees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordspec.contracts import rule
from coordspec.errors import Issue
from coordspec.findings.outcome import Outcome
from coordspec.spec.artifacts import ChangeFiles
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


COVERAGE = ("tests-not-run", "scenario-not-covered", "not-read")


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


# One finding for each fault. A change whose next artifact is not written yet has none: bare, begun, specified.
STATES: dict[str, list[tuple[str, str]]] = {
    CHANGE: [],
    "bare": [],
    "begun": [],
    "specified": [],
    "designed": [],
    "blank-design": [("blank-artifact", "design.md")],
    "blank-design-ticked": [("blank-artifact", "design.md")],
    "blank-delta": [("blank-artifact", "specs/sums/spec.md")],
    "blank-tasks": [("blank-artifact", "tasks.md")],
    "no-design": [("artifact-out-of-order", "tasks.md")],
    "no-proposal": [("artifact-out-of-order", "specs/sums/spec.md")],
    "no-delta": [("artifact-out-of-order", "tasks.md")],
    "tasks-alone": [("artifact-out-of-order", "tasks.md")] * 3,
    "skips-specs": [("openspec-validate", ".")],
    "skips-and-has": [("openspec-validate", ".")],
    "other-schema": [("change-not-loaded", ".openspec.yaml")],
    "broken-metadata": [("change-not-loaded", ".openspec.yaml")],
    "scenario-loss": [("openspec-validate", "specs/sums/spec.md:5")],
    "no-operation": [("openspec-validate", "specs/sums/spec.md"), ("openspec-validate", "specs/sums/spec.md:5")],
    "exists": [],  # SPC019 says it, and openspec's remark on archiving is not repeated
    "refused": [("openspec-validate", "specs/sums/spec.md")],
    "no-boxes": [("openspec-validate", "tasks.md:3")],
    "crlf": [],
    "bom": [],
    "ticked": [("ticked-unbound", "tasks.md:3")],
    "ticked-but-one": [],
    "ticked-synced": [],
    "ticked-early": [("task-ticked-early", "tasks.md:3")],
    "ticked-in-fence": [("artifact-out-of-order", "tasks.md")],
    "added-otherwise": [],  # as exists: what has a test is another text
    "ticked-modified": [("ticked-unbound", "tasks.md:3")],
    "notes-alone": [("openspec-validate", ".")],
    "built-early": [("code-ahead", "specs/sums/spec.md:8")],
    "folder": [("change-not-loaded", ".")],
}
LINT = {"exists": ["requirement-exists"], "added-otherwise": ["requirement-exists"]}
"""What lint adds. All else that it finds in these changes, openspec or the gate has said."""


@pytest.mark.parametrize("name", STATES)
def test_findings_of_a_change(name: str, tree: Path, outcome: Outcome) -> None:
    assert found(outcome, tree / "openspec/changes" / name) == STATES[name]
    below = [
        issue for issue in outcome.issues if Path(issue.place.path).is_relative_to(tree / "openspec/changes" / name)
    ]
    assert [issue.name for issue in below if rule(issue.name).family != FAMILY] == LINT.get(name, [])


OWED = {
    "bare": ["specs", "design", "proposal", "tasks"],
    "begun": ["specs", "design", "tasks"],
    "specified": ["design", "tasks"],
    "designed": ["tasks"],
    "added-otherwise": ["design", "tasks"],
}


def test_complete_asks_for_every_artifact(tree: Path, outcome: Outcome) -> None:
    """And for nothing else: what is a fault without it is the same fault with it, once."""
    complete = gate(tree, openspec(), complete=True)
    missing = [i for i in complete.issues if i.name in ("missing-artifact", "blocked-artifact")]
    for name, artifacts in OWED.items():
        said = [i.message for i in missing if i.message.startswith(f"the change {name} ")]
        assert [message.split(" has no ")[1].split()[0] for message in said] == artifacts
    assert len(missing) == sum(map(len, OWED.values()))
    assert [i for i in complete.issues if i not in missing] == list(outcome.issues)


def test_what_a_change_waits_for_is_a_note(outcome: Outcome) -> None:
    notes = {note.split()[2]: note.split(" waits for ")[1] for note in outcome.notes if " waits for " in note}
    assert {name: notes.get(name) for name in (*OWED, CHANGE, "ticked", "skips-specs", "other-schema")} == {
        "bare": "proposal (proposal.md)",
        "begun": "specs (specs/**/*.md) and design (design.md)",
        "specified": "design (design.md)",
        "designed": "tasks (tasks.md)",
        "added-otherwise": "design (design.md)",
        CHANGE: None,
        "ticked": None,
        "skips-specs": None,
        "other-schema": None,
    }


def test_every_change_of_the_tree_has_its_findings_stated(tree: Path) -> None:
    assert {folder.name for folder in change_folders(tree)} == set(STATES)


MESSAGES = {
    ("blank-design", "blank-artifact"): (
        "the change blank-design has a blank file for design",
        "write it, or delete the file; `openspec instructions design --change blank-design` says what belongs in it",
    ),
    ("no-proposal", "artifact-out-of-order"): (
        "the change no-proposal has specs, design and tasks before proposal (proposal.md)",
        "write proposal (proposal.md), then read specs, design and tasks again",
    ),
    ("ticked", "ticked-unbound"): (
        "the change ticked has all its tasks ticked, and 1 scenario that no test shows, first Less",
        "archive it (`openspec archive ticked`) and bind the scenarios that are then in the main specs, or take back "
        "the ticks of what is not done",
    ),
    ("built-early", "code-ahead"): (
        "the change built-early lacks design (design.md) and tasks (tasks.md), and its scenario Twice has a test in "
        "the main specs already",
        "write design (design.md) and tasks (tasks.md)",
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
    first = next(i for i in outcome.issues if i.name == name and i.message.startswith(f"the change {change} "))
    assert (first.message, first.hint) == MESSAGES[change, name]


def test_words_of_what_is_missing(tree: Path) -> None:
    begun = [i for i in gate(tree, openspec(), complete=True).issues if i.message.startswith("the change begun ")]
    assert [(issue.message, issue.hint) for issue in begun] == [
        (
            "the change begun has no specs (specs/**/*.md)",
            "write it; `openspec instructions specs --change begun` says what belongs in it",
        ),
        (
            "the change begun has no design (design.md)",
            "write it; `openspec instructions design --change begun` says what belongs in it",
        ),
        (
            "the change begun has no tasks (tasks.md), which waits for specs (specs/**/*.md) and design (design.md)",
            "write specs (specs/**/*.md) and design (design.md) first, then tasks",
        ),
    ]


def test_what_archive_would_refuse_is_an_error(outcome: Outcome) -> None:
    """openspec validate says it in passing, and calls the change valid."""
    [issue] = [i for i in outcome.issues if "changes/refused/" in i.place.path]
    assert issue.severity == "error"
    assert issue.message == (
        "openspec says of the change refused: Archive would refuse this delta: sums RENAMED failed for header "
        '"### Requirement: Doubling" - target already exists'
    )


def test_scenario_loss_is_named(outcome: Outcome) -> None:
    [issue] = [i for i in outcome.issues if "scenario-loss" in i.place.path]
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
    passed = {"blank-design", "blank-design-ticked", "blank-tasks", "exists", "refused", "ticked"}
    passed |= {"ticked-modified"}
    assert complete & valid - (sound - {"exists"}) == passed
    ahead = {"no-design", "no-proposal", "ticked-early", "built-early", "tasks-alone"} - {"tasks-alone"}
    assert valid - complete >= {*ahead, "other-schema", "broken-metadata"}


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
    assert [name for name, _ in found(gate(root, openspec()), root)] == ["artifact-out-of-order"]


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
        ("task-ticked-early", "b/plan.md:1"),
    ]


OPTIONAL = SCHEMA.replace(
    "apply:", "  - {id: review, generates: review.md, description: d, template: t.md, requires: [plan]}\napply:"
)


@pytest.mark.parametrize(("apply", "owed"), [(True, []), (False, [("missing-artifact", "review.md")])])
def test_optional_artifacts_are_not_asked_for(apply: bool, owed: list[tuple[str, str]], tmp_path: Path) -> None:
    """What is built before code is written is asked for, and without an `apply` in the schema that is everything."""
    root = complete_tree(tmp_path)
    schema = OPTIONAL.replace("lean", "reviewed")
    write(root / "openspec/schemas/reviewed/schema.yaml", schema if apply else schema[: schema.index("apply:")])
    write(root / "openspec/schemas/reviewed/templates/t.md", "x")
    folder = root / "openspec/changes/a"
    write(folder / ".openspec.yaml", "schema: reviewed\nskip_specs: true\n")
    write(folder / "note.md", "why\n")
    write(folder / "plan.md", "- [ ] do\n")
    findings = found(gate(root, openspec(), complete=True), folder)
    assert [entry for entry in findings if entry[0] != "openspec-validate"] == owed


def test_the_schema_that_openspec_ships_asks_for_all_it_has(tree: Path, answers: OpenSpecAnswers) -> None:
    change = next(change for change in answers.status.changes if change.change_name == CHANGE)
    assert change.schema_name == "spec-driven"
    assert change.apply_requires == ["tasks"]
    assert {artifact.id: sorted(artifact.requires) for artifact in change.artifacts or ()} == {
        "proposal": [],
        "specs": ["proposal"],
        "design": ["proposal"],
        "tasks": ["design", "specs"],
    }
    assert ChangeFiles(tree, change).owed == {"proposal", "specs", "design", "tasks"}


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
    assert found(gate(root, openspec()), root) == [("openspec-validate", "openspec/specs/weak/spec.md:8")]


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
    ]


def test_paths_lead_there_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = complete_tree(tmp_path / "tree")
    write(root / f"openspec/changes/{CHANGE}/specs/sums/spec.md", DELTA.replace("SHALL", "can"))
    (root / f"openspec/changes/{CHANGE}/design.md").unlink()
    for folder, given in ((tmp_path, Path("tree")), (root, Path())):
        monkeypatch.chdir(folder)
        outcome = gate(given, openspec())
        assert {issue.place.path for issue in outcome.issues if issue.name not in COVERAGE} == {
            str(given / "openspec/changes" / CHANGE / part) for part in ("specs/sums/spec.md", "tasks.md")
        }
        assert all(Path(path).is_file() for path in outcome.files)


def test_what_openspec_says_of_one_requirement_hides_nothing_of_another(tmp_path: Path) -> None:
    """OpenSpec takes the SHALL in a comment for one, so of the other two it says nothing: they are lint's findings."""
    root = complete_tree(tmp_path)
    hidden = DELTA.replace("The adder SHALL subtract.", "It can. <!-- SHALL -->")
    more = "\n### Requirement: Halving\n" + hidden[hidden.index("It can") :]
    write(root / f"openspec/changes/{CHANGE}/specs/sums/spec.md", DELTA.replace("SHALL", "can") + more)
    write(root / f"openspec/changes/{CHANGE}/specs/other/spec.md", hidden)
    below = root / f"openspec/changes/{CHANGE}/specs"
    outcome = gate(root, openspec())
    assert [brief(issue, below) for issue in outcome.issues if Path(issue.place.path).is_relative_to(below)] == [
        ("missing-keyword", "other/spec.md:5"),
        ("openspec-validate", "sums/spec.md:5"),
        ("missing-keyword", "sums/spec.md:12"),
    ]
