"""YAML files of others: what is nested too deep or no YAML is said in a line, and never ends the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coordspec.convert.class_names import read_class_names
from coordspec.convert.counts import Counts
from coordspec.errors import InputError
from coordspec.evaluate.categories import read_categories
from coordspec.spec.cases import CasesError, read_cases
from coordspec.spec.markdown import FencedBlock
from coordspec.yaml_nodes import MAX_DEPTH, compose, deep_line


def class_names(path: str) -> object:
    return read_class_names(path, Counts())


READERS: list[Callable[[str], object]] = [class_names, read_categories]
DEEP = {
    "lists in a line": b"- " * 100_000,
    "lists in brackets": b"[" * 100_000,
    "lists that are closed": b"[" * 100_000 + b"]" * 100_000,
    "mappings": b"{a: " * 100_000,
    "under the key that is read": b"names: " + b"[" * 100_000,
}
LAUGHS = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (now, now, b", ".join([b"*%c" % (now - 1)] * 9)) for now in range(ord("b"), ord("z"))
)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_too_deep(name: str, read: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(DEEP[name])
    with pytest.raises(InputError, match=r"is nested deeper than 100 levels in line 1$"):
        read(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "data", [LAUGHS, b"\0", b"a: b\n\0", b"\xff\xfea", b"a: \xe9", b"a: [", b"a: b\n---\na: b\n", b""]
)
def test_what_is_no_table(data: bytes, read: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(InputError):
        read(str(tmp_path / "a.yaml"))


def test_cases_of_a_scenario() -> None:
    block = FencedBlock("yaml coordspec", "harness: x\ncases:\n  " + "- " * 100_000, 7)
    with pytest.raises(CasesError) as caught:
        read_cases(block)
    assert (caught.value.line, str(caught.value)) == (10, "the block is nested deeper than 100 levels")


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_other_texts_are_composed_as_ever(value: object) -> None:
    text = yaml.safe_dump(value)
    assert yaml.serialize(compose(text)) == yaml.serialize(yaml.compose(text, Loader=yaml.SafeLoader))


@pytest.mark.parametrize(("levels", "line"), [(MAX_DEPTH, None), (MAX_DEPTH + 1, MAX_DEPTH + 1)])
def test_the_limit(levels: int, line: int | None) -> None:
    assert deep_line("[\n" * levels + "]" * levels) == line
