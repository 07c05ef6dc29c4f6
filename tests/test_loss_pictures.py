"""The pictures of docs/losses.md are those that the loss functions give."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/losses.md").read_text("utf-8")


def load_painter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_loss_pictures", ROOT / "tools/make_loss_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAINTER = load_painter()


def test_the_pictures_are_up_to_date() -> None:
    assert PAINTER.stale() == [], "run: python tools/make_loss_pictures.py"


def test_check_names_the_pictures_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PAINTER, "ROOT", tmp_path)
    (tmp_path / "docs/images").mkdir(parents=True)
    assert PAINTER.main([]) == 0
    assert PAINTER.main(["--check"]) == 0
    (tmp_path / "docs/images/losses-w1.svg").write_text("old")
    (tmp_path / "docs/images/losses-target.svg").unlink()
    assert PAINTER.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "docs/images/losses-target.svg is out of date; run python tools/make_loss_pictures.py\n"
        "docs/images/losses-w1.svg is out of date; run python tools/make_loss_pictures.py\n"
    )


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert PAINTER.main(["--chekc"]) == 2
    assert "--check" in capsys.readouterr().err


@pytest.mark.parametrize("name", PAINTER.PICTURES)
def test_every_picture_is_shown_and_says_what_it_shows(name: str) -> None:
    assert re.search(rf"!\[[^\]]{{20,}}\]\(images/{name}\)", PAGE)
    picture = ET.fromstring((ROOT / "docs/images" / name).read_bytes())
    title = picture.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text


def test_links_of_the_page_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", PAGE)
    assert len(targets) > 4
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []
