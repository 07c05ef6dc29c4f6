"""Checkpoint folders appear whole or not at all, and nothing is lost that nobody named."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordspec.errors import InputError
from coordspec.model.folder import refuse_folder, write_folder


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_a_new_folder(tmp_path: Path) -> None:
    with write_folder(tmp_path / "a" / "b") as temporary:
        (temporary / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert names(tmp_path / "a") == ["b"]
    assert (tmp_path / "a" / "b" / "x").read_text() == "1"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with write_folder(tmp_path / "a") as temporary:
            (temporary / "x").write_text("1")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert names(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("old")
    with pytest.raises(KeyError), write_folder(tmp_path / "a", overwrite=True):
        raise KeyError
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a" / "config.json").read_text() == "old"


def test_a_renaming_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with (
        pytest.raises(InputError, match=r"a: cannot be written: No space left on device$"),
        write_folder(tmp_path / "a", overwrite=True),
    ):
        pass
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a" / "config.json").read_text() == "old"


def test_overwriting_replaces_the_whole_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("old")
    (tmp_path / "a" / "stale").write_text("old")
    with write_folder(tmp_path / "a", overwrite=True) as temporary:
        (temporary / "config.json").write_text("new")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["config.json"]


def test_an_empty_folder_needs_no_overwriting(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with write_folder(tmp_path / "a") as temporary:
        (temporary / "x").write_text("1")
    assert names(tmp_path / "a") == ["x"]


def test_what_is_refused(tmp_path: Path) -> None:
    for name in ("full", "home", "home/checkpoint"):
        (tmp_path / name).mkdir()
    for name in ("full/config.json", "home/diary", "home/checkpoint/config.json", "file"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    read = [tmp_path / "home" / "checkpoint"]
    cases = [
        ("full", False, "is not empty; name another folder, or pass --overwrite"),
        ("home", False, "is not empty; name another folder, or pass --overwrite"),
        ("home", True, "holds no checkpoint, so nothing in it is replaced; name another folder"),
        ("file", True, "is a file; name a folder"),
        ("link", True, "is a link; name the folder itself, or another one"),
    ]
    for name, overwrite, reason in cases:
        with pytest.raises(InputError) as caught:
            refuse_folder(tmp_path / name, overwrite=overwrite)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"
    for name in ("home/checkpoint", "home", "home/x/../checkpoint"):
        with pytest.raises(InputError, match=r"is being read; name another output folder$"):
            refuse_folder(tmp_path / name, overwrite=True, sources=read)
    refuse_folder(tmp_path / "full", overwrite=True, sources=read)


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written: "), write_folder(tmp_path / "file" / "a"):
        pass
