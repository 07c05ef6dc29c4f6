"""coordspec on an edited copy of the contract, in a process of its own: a script for the tests.

    python tests/contract_copy.py EDITS.json

``EDITS.json`` lists for each edit the files of the copy (name to text) and the lines to look at. For each, one process
is forked from this one, which has imported every library and nothing of coordspec. Printed is a list: of a refused
contract ``{"refused": MESSAGE}``, else what ``of_line`` gives for each line and the generated pages.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import jsonschema
import markdown_it
import msgspec
import numpy as np
import pydantic
import scipy.optimize
import tokenizers
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
LIBRARIES = (jsonschema, markdown_it, msgspec, np, pydantic, scipy.optimize, tokenizers, yaml)


def of_edits(edits: list[tuple[str, tuple[str, ...], object]], lines: list[str]) -> list[Any]:
    """What becomes of single edits of JSON files: file, the keys to the value, and the value; for a test."""
    listed = []
    for file, (*above, last), value in edits:
        whole = node = json.loads((ROOT / "contracts" / file).read_text("utf-8"))
        for key in above:
            node = node[key]
        node[last] = value
        listed.append({"files": {file: json.dumps(whole)}, "lines": lines})
    return run(listed)


def run(edits: list[dict[str, Any]]) -> list[Any]:
    """What this script prints for these edits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "edits.json")
        path.write_text(json.dumps(edits), "utf-8")
        done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def main(path: str) -> None:
    edits = json.loads(Path(path).read_text("utf-8"))
    sys.stdout.write(json.dumps([in_fork(edit) for edit in edits]) + "\n")


def in_fork(edit: dict[str, Any]) -> Any:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            said = look(edit)
        except Exception:  # noqa: BLE001 (whatever it was, the test shows it)
            said = {"crashed": traceback.format_exc()}
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            json.dump(said, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return json.loads(said)


def look(edit: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in (ROOT / "contracts").iterdir():
            if source.is_file():
                (folder / source.name).write_bytes(source.read_bytes())
        for file, text in edit["files"].items():
            (folder / file).write_text(text, "utf-8")
        package = folder / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            "coordspec._contracts", package, submodule_search_locations=[name]
        )
        assert spec is not None
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        from coordspec.contracts.files import ContractFileError

        try:
            return followed(edit["lines"])
        except ContractFileError as error:
            return {"refused": str(error).replace(name + os.sep, "")}


def followed(lines: list[str]) -> dict[str, Any]:
    """What everything that reads the contract makes of the lines."""
    import generate_docs

    from coordspec.contracts import mask_policies, payload_contract
    from coordspec.errors import ContractError

    payload_contract()
    mask_policies()
    said = [of_line(line) for line in lines]
    try:
        docs = {str(path): text for path, text in generate_docs.generated().items()}
    except ContractError as error:  # the example of the pages breaks what was edited
        docs = {"example": str(error)}
    return {"lines": said, "docs": docs}


def of_line(line: str) -> dict[str, Any]:
    from coordspec.checks.finding import CoordSpace
    from coordspec.contracts import rule
    from coordspec.errors import ContractError, Place, Severity
    from coordspec.record import CoordForm, Record, record_of_line
    from coordspec.validate.accept import Acceptor
    from coordspec.validate.explain import Explainer, ValidateOptions, explain_reference
    from coordspec.validate.tally import BoxTally

    data, options = line.encode(), ValidateOptions()
    reference = sorted(explain_reference(data, len(data), options).rules())
    said: dict[str, Any] = {
        "accepted": Acceptor(CoordSpace.NORM1000, 1 << 20).accept([data], BoxTally(), data) == [],
        "reference": reference,
        "explained": sorted(Explainer(options).explain(data, len(data)).rules()),
        "errors": sorted(name for name in reference if rule(name).severity is Severity.ERROR),
        "from_line": [],
        "from_value": [],
    }
    record = record_of_line(data, len(data), 1 << 20, Place("a.jsonl", 1))
    if isinstance(record, Record):
        said |= {"record": json.loads(record.line(CoordForm.INT)), "taught": taught(record)}
    else:
        said["from_line"] = sorted(issue.name for issue in record.issues)
    try:
        Record.from_value(json.loads(line))
    except ContractError as error:
        said["from_value"] = sorted(issue.name for issue in error.issues)
    return said


def taught(record: Any) -> dict[str, Any]:
    """The payload, what the reader of rollouts makes of it, and the target of its first half, guarded."""
    from coordspec.guard import check_target
    from coordspec.rollout.parse import parse_rollout
    from coordspec.target import build_target
    from qwen_tokenizer import ids_of, table

    payload = record.payload()
    ids = ids_of(payload, "tiny")
    half = ids[: len(ids) // 2]
    target = build_target(half, record, table("tiny"))
    text = table("tiny").join(target.ids).decode()
    return {
        "payload": payload,
        "read": len(parse_rollout(ids, table("tiny")).objects),
        "target": text.removesuffix("<|im_end|>"),
        "guard": [str(issue) for issue in check_target(target, record, table("tiny"), half)],
    }


if __name__ == "__main__":
    main(sys.argv[1])
