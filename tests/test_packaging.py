"""What is shipped: the wheel holds the contract and every module, and runs where the source tree is not."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from coordspec import __version__
from limits import HANG_S

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
SOURCES = {"coordspec": ROOT / "src/coordspec", "coordspec_cli": ROOT / "cli/coordspec_cli"}
GOOD = '{"images": ["a.png"], "width": 640, "height": 480, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]}\n'

pytestmark = pytest.mark.xdist_group("packaging")


def clean_environment() -> dict[str, str]:
    """The environment without what could lead Python back to the source tree."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"}


def checked(*args: object, cwd: Path) -> str:
    words = [str(arg) for arg in args]
    done = subprocess.run(
        words, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def index_can_be_reached() -> bool:
    """True if pip finds its index, which builds and installations need."""
    probe = [sys.executable, "-m", "pip", "index", "versions", "setuptools", "--timeout", "10", "--retries", "0"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from it."""
    if not index_can_be_reached():
        pytest.skip("no package index can be reached")
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".git", "build", "dist", ".*_cache", ".hypothesis")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "cli", "configs", "contracts", "docs", "tests"):
        path = ROOT / name  # a copy, so that no build leaves anything in the tree, and nothing stale gets in
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        elif path.exists():
            shutil.copy(path, source)
    checked(sys.executable, "-m", "build", "--outdir", folder, source, cwd=folder)
    shutil.rmtree(source)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a new environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    pins = ["--constraint", CONSTRAINTS] if CONSTRAINTS.exists() else []
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check"]
    checked(*pip, "install", "--quiet", "--no-compile", *pins, wheel, cwd=folder)
    return folder / "bin"


def modules_of_the_tree() -> set[str]:
    return {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in SOURCES.items()
        for path in folder.rglob("*.py")
    }


def test_the_wheel_holds_every_module_and_the_contract(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    contract = {
        f"coordspec/_contracts/{path.name}"
        for path in (ROOT / "contracts").iterdir()
        if path.suffix in (".json", ".yaml")
    }
    assert {"coordspec/_contracts/rules.yaml", "coordspec/_contracts/record.schema.json"} <= contract
    assert names >= contract | modules_of_the_tree() | {"coordspec/py.typed"}
    for folder, suffix in {"configs": ".yaml", "docs": ".md"}.items():
        shipped = {name for name in names if name.startswith(f"coordspec/_{folder}/")}
        tree = {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob(f"*{suffix}")}
        assert shipped == {f"coordspec/_{folder}/{name}" for name in tree | {"__init__.py"}}


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert top == {"coordspec", "coordspec_cli", f"coordspec-{__version__}.dist-info"}
    assert not [name for name in names if "test" in name or name.endswith((".pyc", ".jsonl"))]
    (licence,) = [name for name in names if name.endswith("LICENSE")]
    assert "Apache License" in zipfile.ZipFile(wheel).read(licence).decode()


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    metadata = files.read(f"coordspec-{__version__}.dist-info/METADATA").decode()
    scripts = files.read(f"coordspec-{__version__}.dist-info/entry_points.txt").decode()
    assert wheel.name == f"coordspec-{__version__}-py3-none-any.whl"
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "coordspec = coordspec_cli.main:main" in scripts
    base = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert not [line for line in base if "torch" in line or "transformers" in line]


def test_the_sdist_holds_what_a_build_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    contract = {f"contracts/{path.name}" for path in (ROOT / "contracts").iterdir() if path.is_file()}
    assert names >= contract | {"pyproject.toml", "README.md", "LICENSE", "src/coordspec/py.typed"}


def test_it_runs_outside_of_the_source_tree(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(GOOD)
    assert checked(installed / "coordspec", "--version", cwd=tmp_path) == f"coordspec {__version__}\n"
    assert checked(installed / "coordspec", "validate", "good.jsonl", cwd=tmp_path) == "✓ 1 record in 1 file is valid\n"
    assert "GEO003" in checked(installed / "coordspec", "rule", "coord-range", cwd=tmp_path)
    (tmp_path / "bad.jsonl").write_text(GOOD.replace("3, 4", "1000, 4"))
    done = subprocess.run(
        [installed / "coordspec", "validate", "."], cwd=tmp_path, env=clean_environment(), check=False
    )
    assert done.returncode == 1


def test_hints_lead_somewhere_without_the_source_tree(installed: Path, tmp_path: Path) -> None:
    """What messages point to is in the wheel: pages, recipes, rules, the contract."""
    coordspec = installed / "coordspec"
    (tmp_path / "data").mkdir()
    (tmp_path / "models/qwen3-vl-4b-coord").mkdir(parents=True)
    for name in ("train", "val"):
        (tmp_path / f"data/{name}.jsonl").write_text(GOOD)
    assert checked(coordspec, "config", "init", "stage1", "-o", "run.yaml", cwd=tmp_path) == (
        "run.yaml: change the paths in it, then: coordspec check-config run.yaml\n"
    )
    checked(coordspec, "check-config", "run.yaml", cwd=tmp_path)
    assert checked(coordspec, "docs", "stage1-runbook", cwd=tmp_path).startswith("# Stage-1 runbook")
    assert "train_batch" in checked(coordspec, "schema", "config", cwd=tmp_path)


def test_what_runs_is_what_was_installed(installed: Path, tmp_path: Path) -> None:
    code = "import coordspec, coordspec_cli; print(coordspec.__file__, coordspec_cli.__file__)"
    for path in checked(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)


def test_every_command_of_the_wheel_can_be_loaded(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from coordspec_cli.main import COMMANDS, run\n"
        "sys.exit(any([run([name, '--help']) for name in COMMANDS]))"
    )
    assert checked(installed / "python", "-c", code, cwd=tmp_path).count("Usage: ") >= 8


IMPORT_ALL = """
import importlib, sys
extras = set(sys.argv[1].split(","))
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in extras:
            raise
"""


def test_all_it_needs_is_declared(installed: Path, tmp_path: Path) -> None:
    """Every module can be imported with the declared dependencies alone, but for what needs a declared extra."""
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in modules_of_the_tree()
        if not name.endswith("__main__.py")
    )
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("optional-dependencies", {})
    extras = [re.split(r"[^\w-]", need)[0].replace("-", "_") for needs in declared.values() for need in needs]
    checked(installed / "python", "-c", IMPORT_ALL, ",".join(extras), *modules, cwd=tmp_path)
    checked(sys.executable, "-m", "pip", "--python", installed / "python", "check", cwd=tmp_path)
