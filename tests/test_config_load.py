"""Reading configs: the values of yaml.safe_load, every key and value at its place, limits, and `extends`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coordspec.config.extends import Resolved, Source, beside, read_source, resolve
from coordspec.config.values import yaml_number
from coordspec.config.yaml_tree import YamlNode, find, parse_yaml, plain_value, walk
from coordspec.contracts import rule
from coordspec.errors import InputError, Issue

CALM = settings(suppress_health_check=[HealthCheck.too_slow])
LIMIT = {name: rule(name).params for name in ("config-too-long", "config-too-deep", "config-too-many-values")}


def said(issues: Any) -> list[tuple[str, str]]:
    return [(str(issue.place), issue.name) for issue in issues]


def parse(text: str) -> Any:
    """The plain values of a sound text."""
    parsed = parse_yaml(text, "c.yaml")
    assert parsed.issues == []
    assert parsed.root is not None
    return plain_value(parsed.root)


def same(left: Any, right: Any) -> bool:
    """Equal in value, type and, for mappings, order; nan is equal to nan."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


# ---------------------------------------------------------------- values

SCALARS = [
    text.replace("·", " ")
    for line in (
        "1 -1 +1 0 00 010 0o10 08 0x1F 0b101 1_000 1e5 1e-5 1E5 1.0e5 1.0e-5 1.0e+5 1.5 .5 1. -.5 ._ 1:30",
        "1:30:15 1:30.5 190:20:30 -1:30 .inf -.inf +.inf .nan .NaN inf nan NaN yes no on off Yes NO On",
        "OFF y n Y N true false True FALSE tRue null Null NULL ~ None none nil 2026-11-22 2026-1-2",
        "2026-11-22T10:11:12Z 2026-13 1.2.3 v1 a/b ../x.jsonl q_proj <<x =x -x :x x:y 'yes' \"yes\" '1e-5'",
        "\"1\" '~' \"\" '' !!str·1 !!float·1 !!int·3 !!bool·yes !·12 1__0 0_7 -010 +0b1 -0x1f 1e 1e+ 1.e+3",
        "0.1e-2_0",
    )
    for text in line.split()
]


@pytest.mark.parametrize("text", SCALARS)
@pytest.mark.parametrize("form", ["a: {}\n", "a: [{}]\n", "a:\n- {}\n- b: {}\n", "{{a: {} }}\n"])
def test_scalars_are_those_of_safe_load(form: str, text: str) -> None:
    document = form.format(*[text] * form.count("{}"))
    try:
        expected = yaml.safe_load(document)
    except yaml.YAMLError:
        assert parse_yaml(document, "c.yaml").issues
        return
    assert same(parse(document), expected)


@CALM
@given(st.text("0123456789_.:+-eExobinfaNyYtTrRuUlLsSO~ 'T Z", max_size=12))
@example("1:1:1")
@example("2026-02-30")
@example("0b_")
@example("1:" * 300 + "1.")
def test_any_scalar_is_that_of_safe_load(text: str) -> None:
    document = f"a: {text}\n"
    parsed = parse_yaml(document, "c.yaml")
    try:
        expected = yaml.safe_load(document)
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, KeyError, IndexError):
        assert parsed.issues
        return
    if parsed.issues:
        assert {issue.name for issue in parsed.issues} <= {"config-key-type", "config-duplicate-key"}
    else:
        assert parsed.root is not None
        assert same(plain_value(parsed.root), expected)


names = st.text("abcxyz_", min_size=1, max_size=4)
trees = st.recursive(
    st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=8), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=20,
)


@CALM
@given(st.dictionaries(names, trees, max_size=5), st.booleans(), st.sampled_from([None, True, False]))
def test_documents_are_those_of_safe_load(tree: dict[str, Any], unicode: bool, flow: bool | None) -> None:
    text = yaml.safe_dump(tree, allow_unicode=unicode, default_flow_style=flow)
    assert same(parse(text), yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n",
        "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne:\n  <<: [*x, *y]\n  f: 4\n",
        "a: &x {b: 1}\nc: &y {<<: *x, d: 2}\ne: {b: 5, <<: *y}\n",
        "a: &x 5\nb: *x\nc: [*x, *x]\n",
        "a: &x [1, {b: 2}]\nb: *x\n",
        "'<<': 1\n",
        "a: |\n  one\n  two\nb: >-\n  three\n  four\n",
        "a: \"\\u00e9\\n\\x41\"\nb: 'it''s'\n",
        "%YAML 1.1\n---\na: 1\n...\n",
        "a: {}\nb: []\nc:\nd: ''\n",
        "? a\n: 1\n",
    ],
)
def test_merge_keys_aliases_and_blocks_are_those_of_safe_load(text: str) -> None:
    assert same(parse(text), yaml.safe_load(text))


@CALM
@given(st.from_regex(re.compile(r"[-+]?\d{0,3}\.?\d{0,3}([eE][-+]?\d{1,2})?", re.ASCII), fullmatch=True))
def test_the_other_spelling_of_a_number_is_the_same_number(text: str) -> None:
    number = yaml_number(text)
    try:
        meant = float(text)
    except ValueError:
        assert number is None
        return
    assert number is not None
    value = yaml.safe_load(number)
    assert type(value) in (int, float)
    assert value == meant


# ---------------------------------------------------------------- places


def place(text: str, *at: str | int) -> tuple[Any, ...]:
    root = parse_yaml(text, "c.yaml").root
    assert root is not None
    entry = find(root, at)
    assert entry is not None
    value = entry.node.place
    return entry.key.line, entry.key.column, value.line, value.column


def test_places_of_keys_and_values() -> None:
    text = "# é\nmodel: {path: 'ü', b: 1}\ndata:\n  train:\n    - 見.jsonl\n    - b\n  val: |\n    x\nnone:\n'q': 5\n"
    assert place(text, "model") == (2, 1, 2, 8)
    assert place(text, "model", "b") == (2, 20, 2, 23)
    assert place(text, "data", "train", 1)[2:] == (6, 7)
    assert place(text, "data", "val") == (7, 3, 7, 8)
    assert place(text, "none")[:2] == (9, 1)
    assert place(text, "q") == (10, 1, 10, 6)


def test_what_an_alias_brings_in_stands_where_it_is_written() -> None:
    text = "a: &x\n  b: 1\nc: *x\nd:\n  <<: *x\n  e: 2\n"
    assert place(text, "c") == (3, 1, 3, 4)
    assert place(text, "c", "b") == (2, 3, 2, 6)
    assert place(text, "d", "b") == (2, 3, 2, 6)


@CALM
@given(st.dictionaries(names, trees, max_size=4), st.booleans())
def test_bytes_lines_and_columns_agree(tree: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow)
    if any(mark in text for mark in "\r\x85\u2028\u2029"):
        return  # line ends to YAML
    data = text.encode()
    root = parse_yaml(text, "c.yaml").root
    assert root is not None
    for _, entry in walk(root):
        for spot in (entry.key, entry.node.place):
            assert spot.byte_offset is not None
            before = data[: spot.byte_offset].decode()
            assert (before.count("\n") + 1, len(before) - before.rfind("\n")) == (spot.line, spot.column)


# ---------------------------------------------------------------- files that are no configs


def source(folder: Path, data: bytes) -> Source:
    (folder / "c.yaml").write_bytes(data)
    return read_source(str(folder / "c.yaml"))


def one(found: Source) -> tuple[Any, ...]:
    (issue,) = found.issues
    assert not found.whole
    assert found.entries == {}
    return issue.name, issue.place.line, issue.place.column, issue.place.byte_offset


def test_text_that_is_none(tmp_path: Path) -> None:
    assert one(source(tmp_path, b"a: \xc3\xa9\nb: \x00")) == ("config-binary", 2, 4, 9)
    assert one(source(tmp_path, b"\x89PNG\r\n\x1a\n\x00\x00")) == ("config-binary", 3, 1, 8)
    assert one(source(tmp_path, b"a: 1\nb: \xff")) == ("config-encoding", 2, 4, 8)
    assert one(source(tmp_path, b"\xef\xbb\xbfa: 1\n")) == ("config-byte-order-mark", 1, 1, 0)
    assert one(source(tmp_path, "a: é\x07".encode())) == ("config-control-character", 1, 5, 5)
    assert one(source(tmp_path, "a: \ufffe".encode()))[0] == "config-control-character"
    assert one(source(tmp_path, "a: 1".encode("utf-16")))[0] in ("config-binary", "config-encoding")


def test_size(tmp_path: Path) -> None:
    limit = LIMIT["config-too-long"]["max_bytes"]
    assert source(tmp_path, b"a: 1\n#" + b"x" * (limit - 6)).whole
    assert one(source(tmp_path, b"a: 1\n#" + b"x" * (limit - 5))) == ("config-too-long", None, None, None)


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "a:\n", "? "])
def test_deep_nesting_is_an_error_and_no_crash(opener: str) -> None:
    text = opener * 100_000
    if opener == "a:\n":
        text = "".join(" " * depth + "a:\n" for depth in range(1000))
    (issue,) = parse_yaml(text, "c.yaml").issues
    assert issue.name in ("config-too-deep", "config-yaml")


def test_depth() -> None:
    limit = LIMIT["config-too-deep"]["max_depth"]
    assert parse_yaml("a: " + "[" * limit + "]" * limit, "c.yaml").root is None
    assert parse_yaml("a: " + "[" * (limit - 1) + "]" * (limit - 1), "c.yaml").issues == []
    assert said(parse_yaml("a: " + "[" * 100 + "]" * 100, "c.yaml").issues) == [
        (f"c.yaml:1:{limit + 3}", "config-too-deep")
    ]


def test_a_bomb_of_aliases() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (issue,) = parse_yaml("\n".join(lines), "c.yaml").issues
    assert (str(issue.place), issue.name) == ("c.yaml:5:15", "config-too-many-values")
    assert issue.message == "more than 20000 values, those repeated by aliases included"


def test_a_bomb_of_merge_keys() -> None:
    lines = ["a0: &a0 {k0: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 40)]
    (issue,) = parse_yaml("\n".join(lines), "c.yaml").issues
    assert issue.name == "config-too-many-values"


def test_many_values() -> None:
    limit = LIMIT["config-too-many-values"]["max_values"]
    assert parse_yaml("a: [" + "1," * (limit - 3) + "]", "c.yaml").issues == []
    (issue,) = parse_yaml("a: [" + "1," * (limit - 2) + "]", "c.yaml").issues
    assert issue.name == "config-too-many-values"


@pytest.mark.parametrize(
    "text", ["1" * 5000, "1:" * 4000 + "1", "0x" + "f" * 9000, "1:" * 2000 + "1.5", "-" + "9" * 4301]
)
def test_long_numbers(text: str) -> None:
    assert said(parse_yaml(f"a: {text}\n", "c.yaml").issues) == [("c.yaml:1:4", "config-scalar")]


signs = st.sampled_from("\t\n\n    ::--[]{}#&*!|>'\"%@`,?<~ab1.$")


@CALM
@given(st.text(st.one_of(signs, st.characters(min_codepoint=0xA0, max_codepoint=0xD7FF)), max_size=60))
@example("a: !!timestamp x")
@example("a: !!bool x")
@example("a: !!int x")
@example("a: !!null x")
@example("a: !!float ''")
@example("a: !<!> 1")
@example("a: !!map 1")
@example("!!seq {a: 1}")
@example("? ? ? a")
@example("<<: <<")
@example("a: *b")
@example("&a a: *a")
@example("- &a\n- *a")
def test_no_text_raises(text: str) -> None:
    parsed = parse_yaml(text, "c.yaml")
    assert parsed.root is not None or parsed.issues
    assert all(issue.place.line for issue in parsed.issues)


# ---------------------------------------------------------------- extends


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write YAML files below a folder that is the working directory."""
    monkeypatch.chdir(tmp_path)

    def call(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    return call


def resolved(path: str = "run.yaml") -> Resolved:
    found = resolve(path)
    assert found.issues == ()
    assert found.whole
    return found


def chains(found: Resolved) -> dict[str, list[str]]:
    """Places that set each leaf, latest first."""
    return {
        ".".join(map(str, at)): [f"{spot.path}:{spot.line}" for spot in entry.chain]
        for at, entry in walk(found.root)
        if not isinstance(entry.node.value, dict | tuple)
    }


def test_the_child_wins_and_a_later_parent_over_an_earlier_one(write: Any) -> None:
    write(
        run="extends: [a.yaml, b.yaml]\ns: {x: 1}\n",
        a="s:\n  x: 2\n  y: 2\n  z: 2\n",
        b="s:\n  x: 3\n  y: 3\n",
    )
    found = resolved()
    assert plain_value(found.root) == {"s": {"x": 1, "y": 3, "z": 2}}
    assert chains(found) == {
        "s.x": ["run.yaml:2", "b.yaml:2", "a.yaml:2"],
        "s.y": ["b.yaml:3", "a.yaml:3"],
        "s.z": ["a.yaml:4"],
    }
    assert found.files == ("run.yaml", "a.yaml", "b.yaml")
    assert {path: str(spot) for path, spot in found.extended_by.items()} == {
        "a.yaml": "run.yaml:1:11",
        "b.yaml": "run.yaml:1:19",
    }


def test_lists_and_scalars_are_replaced_and_sections_too_by_something_else(write: Any) -> None:
    write(run="extends: a.yaml\nl: [1]\nm: 5\nn: {b: 1}\no:\n", a="l: [1, 2]\nm: {a: 1}\nn: 7\no: {c: 1}\n")
    assert plain_value(resolved().root) == {"l": [1], "m": 5, "n": {"b": 1}, "o": None}


def test_paths_are_relative_to_the_file_in_which_they_stand(write: Any) -> None:
    write(
        run="extends: deep/a.yaml\n",
        deep__a="extends: ../b.yaml\nx: 1\n",
        b="extends: deep/er/c.yaml\n",
        deep__er__c="y: 2\n",
    )
    found = resolved()
    assert found.files == ("run.yaml", "deep/a.yaml", "b.yaml", "deep/er/c.yaml")
    assert plain_value(found.root) == {"y": 2, "x": 1}
    assert resolve("deep/a.yaml").files == ("deep/a.yaml", "b.yaml", "deep/er/c.yaml")


def test_a_short_path_is_not_taken_through_a_link(write: Any, tmp_path: Path) -> None:
    write(real__deep__x="a: 1\n", y="a: 2\n", real__y="a: 3\n")
    (tmp_path / "link").symlink_to("real/deep")
    assert beside("link/x.yaml", "../y.yaml") == "link/../y.yaml"
    assert beside("real/deep/x.yaml", "../y.yaml") == "real/y.yaml"


def test_a_diamond_is_read_once_and_every_place_named_once(write: Any) -> None:
    write(run="extends: [a.yaml, b.yaml]\n", a="extends: c.yaml\n", b="extends: c.yaml\nx: 2\n", c="x: 1\n")
    found = resolved()
    assert found.files == ("run.yaml", "a.yaml", "c.yaml", "b.yaml")
    assert chains(found) == {"x": ["b.yaml:2", "c.yaml:1"]}


def test_a_tower_of_diamonds_takes_no_time(write: Any) -> None:
    floors = {f"f{n}": f"extends: [f{n + 1}.yaml, f{n + 1}.yaml]\nx: {n}\n" for n in range(60)}
    write(**floors, f60="x: 60\n")
    assert chains(resolve("f0.yaml"))["x"] == [f"f{n}.yaml:{2 if n < 60 else 1}" for n in range(61)]


def test_a_cycle_through_a_link_is_seen(write: Any, tmp_path: Path) -> None:
    write(run="extends: other.yaml\n")
    (tmp_path / "other.yaml").symlink_to("run.yaml")
    assert [issue.name for issue in resolve("run.yaml").issues] == ["extends-cycle"]


def test_a_missing_parent_leaves_the_rest(write: Any) -> None:
    write(run='extends: [no.yaml, a.yaml, "no\\0"]\nx: 1\n', a="y: 2\n")
    found = resolve("run.yaml")
    assert plain_value(found.root) == {"y": 2, "x": 1}
    assert [(str(i.place), i.message) for i in found.issues] == [
        ("run.yaml:1:11", "the config no.yaml cannot be read: no such file or folder"),
        ("run.yaml:1:28", 'the config "no\\u0000" cannot be read: no file can be called so'),
    ]


def test_too_many_files(write: Any) -> None:
    limit = rule("extends-too-many").params["max_files"]
    write(**{f"f{n}": f"extends: f{n + 1}.yaml\n" for n in range(limit + 5)})
    (issue,) = resolve("f0.yaml").issues
    assert (str(issue.place), issue.message) == (
        f"f{limit - 1}.yaml:1:10",
        f"{limit + 1} configs are too many; {limit} is the maximum",
    )
    write(run=f"extends: [{'a.yaml, ' * limit}a.yaml]\n", a="x: 1\n")
    (issue,) = resolve("run.yaml").issues
    assert issue.name == "extends-too-many"


def test_a_file_that_cannot_be_opened_is_an_input_error(write: Any, tmp_path: Path) -> None:
    for name, reason in (
        ("no.yaml", "no such file or folder"),
        (".", "is a folder; name a config file"),
        ("a\0b", "embedded null byte"),
    ):
        with pytest.raises(InputError, match=reason):
            resolve(name)


def test_findings_of_every_file_are_in_the_result(write: Any) -> None:
    write(run="extends: a.yaml\nx: 1\nx: 2\n", a="extends: b.yaml\ny: ${z}\n", b="[\n")
    names: list[Issue] = [*resolve("run.yaml").issues]
    assert [(str(i.place), i.name) for i in names] == [
        ("run.yaml:3:1", "config-duplicate-key"),
        ("a.yaml:2:4", "config-interpolation"),
        ("b.yaml:2:1", "config-yaml"),
    ]


def test_a_node_without_places_is_never_made(write: Any) -> None:
    write(run="a: [1, {b: 2}]\n")
    for _, entry in walk(resolved().root):
        assert isinstance(entry.node, YamlNode)
        assert entry.node.place.line == 1
