"""``coordspec schema``: the files of the contract, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from coordspec.contracts import contract_bytes, contract_files, files
from coordspec_cli.main import run

CONTRACTS = Path(__file__).parents[1] / "contracts"


def test_every_file_of_the_contract_has_a_name() -> None:
    data = {path.name for path in CONTRACTS.iterdir() if path.suffix in (".json", ".yaml")}
    assert set(contract_files().values()) == data
    assert {"config", "record", "payload", "rules", "masks", "removed_keys"} <= contract_files().keys()


@pytest.mark.parametrize(("name", "file"), contract_files().items())
def test_it_prints_the_file(name: str, file: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["schema", name]) == 0
    assert capfdbinary.readouterr() == ((CONTRACTS / file).read_bytes(), b"")


@pytest.mark.parametrize(("name", "file"), contract_files().items())
def test_what_is_printed_can_be_read(name: str, file: str) -> None:
    text = contract_bytes(file).decode("utf-8")
    if name in ("rules", "masks", "removed_keys"):
        assert isinstance(yaml.safe_load(text), dict)
    else:
        assert "$schema" in json.loads(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recrod", "the contract has no 'recrod' (did you mean 'record'?); it has "),
        ("Rules", "the contract has no 'Rules' (did you mean 'rules'?); it has "),
        ("../rules", "the contract has no '../rules' (did you mean 'rules'?); it has "),
        ("zebra", "the contract has no 'zebra'; it has "),
    ],
)
def test_another_name(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Error: {said}{', '.join(contract_files())}\n" in err


def test_a_name_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 2
    assert "Missing argument 'NAME'" in capsys.readouterr().err


def test_the_help_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"NAME is one of {', '.join(contract_files())}." in text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of contract files in place of the shipped one."""
    monkeypatch.setattr(files, "files", lambda package: tmp_path)
    contract_files.cache_clear()
    yield tmp_path
    contract_files.cache_clear()


def test_a_table_goes_before_its_schema(folder: Path) -> None:
    for name in ("masks.yaml", "masks.schema.json", "record.schema.json", "__init__.py", "notes.txt"):
        (folder / name).touch()
    assert list(contract_files().items()) == [
        ("masks", "masks.yaml"),
        ("masks.schema", "masks.schema.json"),
        ("record", "record.schema.json"),
    ]
