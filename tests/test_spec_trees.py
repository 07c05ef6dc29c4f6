"""Trees of other shapes: what the parser counts is what a regex counts, and nothing sound is a finding."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordspec.errors import InputError
from coordspec.spec.document import parse_spec, read_spec, spec_files
from coordspec.spec.lint import lint_tree
from coordspec.spec.resolve import resolve_tree
from openspec_trees import openspec, raw, write

# ---------------------------------------------------------------- counted without a parser

_FENCED = re.compile(
    r"^[ ]{0,5}(?P<mark>`{3,}|~{3,})[^\n]*\n(?:.*?\n)??[ ]{0,5}(?P=mark)[`~]*[ \t]*$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def counted(text: str) -> tuple[int, int]:
    """Requirements and scenarios of a text, by regular expressions."""
    plain = _COMMENT.sub("", _FENCED.sub("", text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")))
    requirements = re.findall(r"^###[ \t]+Requirement:", plain, re.MULTILINE)
    scenarios = re.findall(r"^####[ \t]+Scenario:", plain, re.MULTILINE)
    return len(requirements), len(scenarios)


def parsed(text: str) -> tuple[int, int]:
    requirements = parse_spec(text, "p", "c").requirements
    return len(requirements), sum(len(requirement.scenarios) for requirement in requirements)


# ---------------------------------------------------------------- built from pieces

PIECES = [
    "A paragraph\nof two lines.",
    "| a | b |\n| --- | :-: |\n| `#### Scenario: x` | \\| |",
    "| a |\n|---|\n| 1 |",
    "- one\n  - two\n    - three\n      1. four",
    "\t- after a tab\n\t\t- and two",
    "```\n#### Scenario: in a fence\n### Requirement: too\n```",
    "~~~~markdown\n```yaml\n#### Scenario: in a longer fence\n```\n~~~~",
    '- in a list\n\n  ```json\n  {"#### Scenario: x": 1}\n  ```',
    "> #### Scenario: quoted",
    "    #### Scenario: indented code",
    "<!-- a remark, no heading -->",
    "<table>\n<tr><td>#### Scenario: in HTML</td></tr>\n</table>",
    "`#### Scenario: in code`, **bold**, [link](#scenario), ###nothing, #hashtag",
    "Ünïcode 字 🐈 \u00a0 \u2028 done",
    "##### A note below",
    "* * *",
    "$$\n\\sum_{k=0}^{999} p_k\n$$",
    "    ",
]
STEPS = [
    "- **WHEN** it is so\n- **THEN** it holds",
    "\n- **GIVEN** it is there\n- **WHEN** it is so\n- **THEN** it holds:\n  1. first\n  2. second\n- **AND** more",
    "- **WHEN** it is so, **THEN** it holds",
    "**WHEN** it is so\n**THEN** it holds",
    "* **When** it is so\n* **Then** it holds",
    "- WHEN it is so\n- THEN it holds:\n```\n├── spec.md  # ### Requirement: x\n```",
]
TITLES = ["Plain", "With `code`", "A # in it", "Ünï 字 🐈", "a::b [c]", "Closed ##", "C#", "1.2.3", "“Quoted”"]


@dataclass(frozen=True)
class Built:
    """A text, and what is known of it since it was built that way."""

    text: str
    requirements: int
    scenarios: int
    without: int


@st.composite
def documents(draw: st.DrawFn) -> Built:
    """A sound spec, but for requirements that may lack a scenario."""
    parts = ["# Title", "", "## Purpose", "", *draw(pieces(headings=False)), "## Requirements", ""]
    counts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    for number, count in enumerate(counts):
        parts += [f"### Requirement: {number} {draw(st.sampled_from(TITLES))}", "It SHALL hold.", ""]
        parts += draw(pieces())
        for scenario in range(count):
            parts += [f"#### Scenario: {scenario} {draw(st.sampled_from(TITLES))}"]
            parts += [draw(st.sampled_from(STEPS)), "", *draw(pieces())]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = draw(st.sampled_from(["", "\ufeff"])) + end.join("\n".join(parts).split("\n"))
    return Built(text + draw(st.sampled_from(["", end, 3 * end])), len(counts), sum(counts), counts.count(0))


def pieces(*, headings: bool = True) -> st.SearchStrategy[list[str]]:
    allowed = [piece for piece in PIECES if headings or not piece.startswith("#")]
    return st.lists(st.sampled_from(allowed), max_size=3).map(lambda found: [line for p in found for line in (p, "")])


@given(documents())
def test_counts_of_any_shape(built: Built) -> None:
    assert parsed(built.text) == counted(built.text) == (built.requirements, built.scenarios)


CAPABILITIES = [
    "a",
    "a/b",
    "a/b/c/d/e/f",
    "build",
    "node_modules",
    "with space",
    "ünï/字",
    "spec.md.d",
    "changes",
    "x-1.2",
]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(CAPABILITIES), documents(), max_size=4), st.booleans())
def test_a_tree_of_any_shape(specs: dict[str, Built], crowded: bool) -> None:
    """Files in deep folders, beside files and links that are none of OpenSpec's business."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "openspec").mkdir()
        for capability, built in specs.items():
            write(root / "openspec/specs" / capability / "spec.md", built.text)
        if crowded:
            crowd(root)
        found = {path.parent.relative_to(root / "openspec/specs").as_posix() for path in spec_files(root)}
        assert found == set(specs)
        read = [read_spec(path, root) for path in spec_files(root)]
        assert {each.capability: len(each.requirements) for each in read} == {
            capability: built.requirements for capability, built in specs.items()
        }
        rules = [issue.name for issue in lint_tree(root)]
        assert rules == ["no-scenario"] * sum(built.without for built in specs.values())
        _, resolution = resolve_tree(root, [])
        assert len(resolution.scenarios) == sum(built.scenarios for built in specs.values())
        assert len(resolution.unread) == sum(built.requirements for built in specs.values())


def crowd(root: Path) -> None:
    """What trees hold beside specs and changes."""
    specs = root / "openspec/specs"
    write(root / "openspec/AGENTS.md", "# For agents\n\n#### Scenario: no scenario\n")
    write(root / "openspec/project.md", "# Project\n\nAn adder.\n")
    write(root / "openspec/explorations/notes.md", "")
    write(specs / ".hidden/spec.md", "")
    write(specs / "README.md", "Read me.\n")
    write(specs / "pictures/a.png", b"\x89PNG\xff")
    write(specs / "empty folder/.gitkeep", "")
    write(root / "openspec/changes/archive/2025-01-01-old/tasks.md", "- [x] done\n")
    write(root / "openspec/changes/archive/2025-01-01-old/specs/gone/spec.md", b"\xff")
    write(root / "elsewhere/linked/spec.md", "")
    (specs / "link").symlink_to(root / "elsewhere/linked")
    (specs / "loop").symlink_to(specs)
    (specs / "dangling").symlink_to("nowhere")


MARKDOWN = st.text(alphabet="#RequirementScenario: SHALLWN*-`~<!>|[x]\n\r\t 字", max_size=200)
NAMES = [
    "specs/a/spec.md",
    "specs/spec.md",
    "changes/x/tasks.md",
    "changes/x/specs/a/spec.md",
    "changes/archive/x/tasks.md",
]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(MARKDOWN, st.binary(max_size=40)), min_size=1))
def test_no_tree_is_a_crash(files: dict[str, str | bytes]) -> None:
    """Whatever stands there: findings, each at a line of its file, or the reason why a file cannot be read."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path, content in files.items():
            write(root / "openspec" / path, content)
        try:
            issues = lint_tree(root)
        except InputError as error:
            assert "is not UTF-8" in error.reason  # noqa: PT017 (both ends are sound)
            return
        for issue in issues:
            text = (root / issue.place.path).read_bytes().decode()
            assert 1 <= (issue.place.line or 1) <= len(re.split("\r\n|\r|\n", text))
            assert issue.message
            assert issue.hint


# ---------------------------------------------------------------- the real command line counts the same


def shapes() -> Iterator[tuple[str, str]]:
    """One document for each piece, and one with all of them."""
    for number, piece in enumerate([*PIECES, "\n\n".join(PIECES)]):
        body = (
            f"### Requirement: R\nIt SHALL.\n\n{piece}\n\n#### Scenario: S\n- **WHEN** a\n- **THEN** b\n\n{piece}\n\n"
        )
        text = f"## Purpose\n\nTo be counted by two programs.\n\n## Requirements\n\n{body}{body.replace(': R', ': Q')}"
        yield f"shape-{number}", text if number % 2 else text.replace("\n", "\r\n")


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    root = tmp_path_factory.mktemp("shapes")
    for name, text in shapes():
        write(root / f"openspec/specs/{name}/spec.md", text)
    specs = raw(root, "list", "--specs", "--json").answer["specs"]
    return {spec["id"]: spec["requirementCount"] for spec in specs}


@pytest.mark.parametrize(("name", "text"), list(shapes()), ids=lambda value: value if len(value) < 10 else "")
def test_openspec_counts_the_same_requirements(name: str, text: str, counts: dict[str, int]) -> None:
    assert openspec().exists()
    assert parsed(text) == counted(text) == (2, 2)
    assert counts[name] == 2
