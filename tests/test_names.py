"""One word for each thing: names of classes in the product, and how much a file and a function hold."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    path: ast.parse(path.read_text("utf-8")) for top in ("src", "cli") for path in sorted((ROOT / top).rglob("*.py"))
}


def test_a_class_name_stands_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in FILES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_file_holds_one_idea_and_a_function_fits_a_screen() -> None:
    """Limits that nobody should come near; architecture.md says what to aim at."""
    assert [str(path) for path in FILES if path.read_text("utf-8").count("\n") > 450] == []
    functions = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, tree in FILES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or node.lineno) - node.lineno >= 80
    ]
    assert functions == []
