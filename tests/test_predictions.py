"""Prediction files: what is written is read again, what breaks the form is refused with its place."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from coordspec.contracts import schema
from coordspec.errors import ContractError, InputError, Place
from coordspec.predictions.check import QUANTILE_LEVELS, check_prediction, check_run, issues_of
from coordspec.predictions.coord_stats import coord_stats
from coordspec.predictions.files import MAX_ISSUES, read_predictions
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.predictions.run import Run, read_run, run_path, write_run

LIMIT = 1 << 20
STATS = CoordStats((1.0, 2.0, 3.0, 4.5), (0.5, 0.0, 0.1, 2.0), ((0, 1, 1, 1, 2, 2),) * 4)
OBJECTS = (
    PredictedObject("cat", (1, 2, 3, 4), score=0.5, score_coord=0.25, score_desc=1.0, coords=STATS),
    PredictedObject("碗 \u202e", poly=(1, 2, 3, 2, 3, 4)),
    PredictedObject("<|im_end|>", (5, 5, 5, 5), score=0),
)
SOUND = Prediction(
    3,
    ("a.png", "b.png"),
    640,
    480,
    OBJECTS,
    dropped=(Dropped("object_02", "bad_key"), Dropped("", "bad_key")),
    truncated=True,
    text='{"object_1": "é\n',
    tokens=12,
    run="abc",
)
EMPTY = Prediction(0, ("a.png",), 1, 1, (), fallback="no_opening_brace")
RUN = Run("out/step-10", "0f" * 8, 7, {"temperature": 0.5, "names": ["é"]})


def write(path: Path, *items: Prediction) -> str:
    path.write_text("".join(item.line() + "\n" for item in items), "utf-8")
    return str(path)


# ----------------------------------------------------------------------------------------------------------- one line


@pytest.mark.parametrize("item", [SOUND, EMPTY], ids=["full", "empty"])
def test_a_line_is_read_as_it_was_written(item: Prediction) -> None:
    assert Prediction.from_value(json.loads(item.line())) == item
    assert "\n" not in item.line()


def test_the_place_takes_no_part_in_comparisons() -> None:
    assert Prediction.from_value(EMPTY.value(), Place("a.jsonl", 3)) == EMPTY


def test_parts_that_are_unknown_are_left_out_but_the_score_is_not() -> None:
    assert PredictedObject("cat", (1, 2, 3, 4)).value() == {"desc": "cat", "bbox_2d": [1, 2, 3, 4], "score": None}


def test_nothing_unsound_is_written() -> None:
    with pytest.raises(ContractError, match=r"objects\[0\]: the object has no geometry \(OBJ004\)"):
        Prediction(0, ("a.png",), 1, 1, (PredictedObject("cat"),)).line()
    with pytest.raises(ContractError, match=r"objects\[0\].score: NaN is not a number from 0 to 1 \(PRD001\)"):
        Prediction(0, ("a.png",), 1, 1, (PredictedObject("cat", (1, 2, 3, 4), score=float("nan")),)).line()


def changed(at: str, value: Any) -> dict[str, Any]:
    """The sound line with one value replaced, or removed if it is ``...``; ``at`` is a JSON pointer."""
    made: Any = copy.deepcopy(SOUND.value())
    made = json.loads(json.dumps(made))
    *path, last = [int(step) if step.isdigit() else step for step in at.split("/")[1:]]
    place = made
    for step in path:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return made


REFUSED: list[tuple[str, Any, str]] = [
    ("/index", ..., "the required field index is missing (REC001)"),
    ("/index", True, "index: true is a boolean, not an integer from 0 (REC002)"),
    ("/images", [], "images: images is empty (REC005)"),
    ("/images/0", "/a.png", 'images[0]: "/a.png" is an absolute path, not a relative path (REC006)'),
    ("/height", 4.0, "height: 4.0 is a float, not an integer (REC002)"),
    ("/objects", {}, "objects: {} is an object, not a list (REC002)"),
    ("/objects/1", 5, "objects[1]: 5 is an integer, not an object with desc, one geometry and score (REC002)"),
    ("/objects/0/desc", 5, "objects[0].desc: 5 is an integer, not a string (REC002)"),
    ("/objects/0/desc", "\u200b", 'objects[0].desc: the desc "\u200b" is blank (OBJ001)'),
    ("/objects/0/bbox_2d", [1, 2, 3], "objects[0].bbox_2d: a bbox_2d has 4 coordinates, this one has 3 (GEO001)"),
    ("/objects/0/bbox_2d", "x", 'objects[0].bbox_2d: "x" is a string, not a list of 4 coordinates (REC002)'),
    ("/objects/0/bbox_2d/3", 1000, "objects[0].bbox_2d[3]: 1000 is above the maximum 999 (GEO003)"),
    (
        "/objects/0/poly",
        [1, 2, 3, 2, 3, 4],
        "objects[0]: the object has bbox_2d and poly, and may have only one of them",
    ),
    ("/objects/1/poly", [[1, 2], [3, 2], [3, 4]], "objects[1].poly[0]: [1, 2] is a list, not an integer from 0 to 999"),
    ("/objects/0/score", "1", 'objects[0].score: "1" is a string, not a number from 0 to 1 (REC002)'),
    ("/objects/0/score_coord", -0.1, "objects[0].score_coord: -0.1 is not a number from 0 to 1 (PRD001)"),
    (
        "/objects/0/sore",
        1,
        "objects[0].sore: the field sore is not part of the contract (did you mean 'score'?)",
    ),
    (
        "/objects/0/coords",
        [],
        "objects[0].coords: [] is a list, not an object with expected, std and",
    ),
    ("/objects/0/coords/std", ..., "objects[0].coords: the required field std is missing (REC001)"),
    ("/objects/0/coords/std", [1], "objects[0].coords.std: the number of items is 1, not 4, one for each coordinate"),
    ("/objects/0/coords/std/0", -1, "objects[0].coords.std[0]: -1 is not a number from 0 to 999 (PRD001)"),
    (
        "/objects/0/coords/quantiles/2",
        1,
        "objects[0].coords.quantiles[2]: 1 is an integer, not a list of bins",
    ),
    (
        "/objects/0/coords/quantiles/2",
        [1, 2],
        "objects[0].coords.quantiles[2]: the number of items is 2, not 6, one",
    ),
    (
        "/objects/0/coords/quantiles/2/5",
        1000,
        "objects[0].coords.quantiles[2][5]: 1000 is not an integer from 0 to 999",
    ),
    (
        "/objects/0/coords/quantiles/2/5",
        0,
        "objects[0].coords.quantiles[2]: the quantiles [0, 1, 1, 1, 2, 0] are not in ascending order (PRD003)",
    ),
    ("/dropped", None, "dropped: null is null, not a list (REC002)"),
    ("/dropped/0", "x", 'dropped[0]: "x" is a string, not an object with key and reason (REC002)'),
    ("/dropped/0/key", None, "dropped[0].key: null is null, not a string (REC002)"),
    ("/dropped/0/reason", "", 'dropped[0].reason: "" is a string, not a string that is not empty (REC002)'),
    ("/truncated", None, "truncated: null is null, not true or false (REC002)"),
    ("/fallback", 1, "fallback: 1 is an integer, not a string that is not empty (REC002)"),
    ("/text", 1, "text: 1 is an integer, not a string (REC002)"),
    ("/tokens", -1, "tokens: -1 is not an integer from 0 (PRD001)"),
    ("/run", "", 'run: "" is a string, not a string that is not empty (REC002)'),
    ("/metadata", {}, "metadata: the field metadata is not part of the contract (REC003)"),
]


@pytest.mark.parametrize(("at", "value", "message"), REFUSED)
def test_what_is_refused(at: str, value: Any, message: str) -> None:
    issues = issues_of(check_prediction(changed(at, value)), Place("p.jsonl", 4))
    assert len(issues) == 1, issues
    assert str(issues[0]).startswith(message)
    assert str(issues[0].place) == "p.jsonl:4"


def test_a_degenerate_box_is_no_fault_of_the_file() -> None:
    assert issues_of(check_prediction(changed("/objects/0/bbox_2d", [3, 3, 3, 3])), Place("")) == []


# ----------------------------------------------------------------------------------------------------------- schema

VALIDATOR = Draft202012Validator(
    schema("prediction"),
    registry=Registry().with_resources(
        (schema(name)["$id"], Resource.from_contents(schema(name))) for name in ("record", "prediction")
    ),
)
VALUES = [
    *(None, True, 0, -1, 3, 999, 1000, 0.5, 1.5, "", " ", "cat", "<|coord_5|>"),
    *([], {}, [1, 2, 3, 4], [1, 2, 3], [[1, 2]]),
]
BEYOND_A_SCHEMA = {"inverted-box", "prediction-coords", "prediction-quantiles"}
BEYOND_A_SCHEMA |= {"poly-arity", "blank-desc", "image-path-escape"}


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


@st.composite
def mutated_lines(draw: st.DrawFn) -> Any:
    value = json.loads(draw(st.sampled_from([SOUND, EMPTY])).line())
    for _ in range(draw(st.integers(0, 3))):
        place: Any = draw(st.sampled_from(list(containers(value))))
        new = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if isinstance(place, dict):
            key = draw(st.sampled_from([*place, "score", "poly", "bbox_2d", "extra"]))
            place.pop(key, None)
            if draw(st.booleans()):
                place[key] = new
        else:
            start = draw(st.integers(0, len(place)))
            place[start : start + draw(st.integers(0, 1))] = [new] if draw(st.booleans()) else []
    return value


@given(mutated_lines())
@example([])
@example(None)
def test_schema_and_checks_agree(value: Any) -> None:
    issues = issues_of(check_prediction(value), Place(""))
    if not VALIDATOR.is_valid(value):
        assert issues, [error.message for error in VALIDATOR.iter_errors(value)]
    elif issues:
        assert {issue.name for issue in issues} <= BEYOND_A_SCHEMA


def test_every_field_of_the_schema_is_checked() -> None:
    assert set(SOUND.value()) == set(schema("prediction")["properties"]) == set(schema("prediction")["required"])
    assert set(OBJECTS[0].value()) | {"poly"} == set(schema("prediction")["$defs"]["object"]["properties"])
    assert set(RUN.value()) == set(schema("prediction")["$defs"]["run"]["properties"])


def test_the_page_names_every_field() -> None:
    page = Path(__file__).parents[1].joinpath("docs/evaluation/PREDICTIONS.md").read_text("utf-8")
    defs = schema("prediction")["$defs"]
    nodes = [schema("prediction"), defs["object"], defs["coords"], defs["dropped"], defs["run"]]
    assert [name for node in nodes for name in node["properties"] if f"| `{name}` |" not in page] == []


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_a_file_is_read_whole(tmp_path: Path, name: str) -> None:
    text = SOUND.line() + "\n" + Prediction(0, ("c.png",), 5, 5, (), run="abc").line()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    file = read_predictions(str(path), LIMIT)
    assert [item.index for item in file.predictions] == [3, 0]
    assert file.predictions[1].place == Place(str(path), 2, byte_offset=len((SOUND.line() + "\n").encode()))
    assert file.run is None


def test_an_empty_file_has_no_predictions(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path / "p.jsonl"), LIMIT).predictions == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "JSN001"),
        ("", "JSN004"),
        ('{"index": 0, "index": 0}', "JSN006"),
        ('{"score": NaN}', "JSN007"),
        ("[]", "JSN005"),
        ("\ufeff" + EMPTY.line(), "JSN003"),
        (EMPTY.line().replace("no_opening_brace", "x" * 2000), "JSN010"),
    ],
)
def test_lines_that_are_no_strict_json(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f"{SOUND.line()}\n{text}\n", "utf-8")
    with pytest.raises(ContractError) as caught:
        read_predictions(str(path), 1500)
    assert [(issue.code, issue.place.line) for issue in caught.value.issues] == [(code, 2)]


def test_no_more_findings_than_a_person_reads(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("{}\n" * 100)
    with pytest.raises(ContractError) as caught:
        read_predictions(str(path), LIMIT)
    assert len(caught.value.issues) == MAX_ISSUES


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        read_predictions(str(tmp_path / "p.jsonl"), LIMIT)


# ----------------------------------------------------------------------------------------------------------- the run


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", Prediction(0, ("a.png",), 1, 1, (), run=RUN.id))
    write_run(path, RUN)
    assert run_path(path) == tmp_path / "p.jsonl.run.json"
    assert read_predictions(path, LIMIT).run == read_run(path) == RUN
    with pytest.raises(InputError, match="exists already"):
        write_run(path, RUN)
    write_run(path, RUN, overwrite=True)


def test_the_id_depends_on_every_field_and_not_on_their_order() -> None:
    others = [
        Run("x", RUN.fingerprint, RUN.seed, RUN.settings),
        Run(RUN.checkpoint, "x", RUN.seed, RUN.settings),
        Run(RUN.checkpoint, RUN.fingerprint, 8, RUN.settings),
        Run(RUN.checkpoint, RUN.fingerprint, RUN.seed, {**RUN.settings, "temperature": 0.6}),
    ]
    assert len({RUN.id, *(other.id for other in others)}) == 5
    assert Run(RUN.checkpoint, RUN.fingerprint, RUN.seed, dict(reversed(RUN.settings.items()))).id == RUN.id
    assert len(RUN.id) == 12


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda value: value | {"seed": 8}, "PRD006"),
        (lambda value: value | {"seed": 1.5}, "REC002"),
        (lambda value: value | {"extra": 1}, "REC003"),
        (lambda value: {"run": "x"}, "REC001"),
        (lambda value: [], "JSN005"),
    ],
)
def test_a_run_that_was_edited(tmp_path: Path, change: Any, code: str) -> None:
    path = tmp_path / "p.jsonl"
    run_path(str(path)).write_text(json.dumps(change(RUN.value())))
    with pytest.raises(ContractError) as caught:
        read_run(str(path))
    assert {issue.code for issue in caught.value.issues} == {code}


def test_a_run_that_is_no_json(tmp_path: Path) -> None:
    run_path(str(tmp_path / "p.jsonl")).write_text('{"run": NaN}')
    with pytest.raises(
        ContractError, match=r"p.jsonl.run.json: run: NaN is not a finite number, and not JSON \(JSN007\)"
    ):
        read_run(str(tmp_path / "p.jsonl"))
    assert list(check_run(RUN.value())) == []


@pytest.mark.parametrize(("runs", "lines"), [(["a", "b", "b", "c", "a"], [2, 4]), ([RUN.id], []), (["a"], [])])
def test_each_other_run_is_named_once(tmp_path: Path, runs: list[str], lines: list[int]) -> None:
    path = write(tmp_path / "p.jsonl", *(Prediction(i, ("a.png",), 1, 1, (), run=r) for i, r in enumerate(runs)))
    try:
        read_predictions(path, LIMIT)
        found: list[int | None] = []
    except ContractError as error:
        found = [issue.place.line for issue in error.issues]
    assert found == lines


def test_the_file_beside_decides_which_run_is_meant(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", Prediction(0, ("a.png",), 1, 1, (), run=None))
    write_run(path, RUN)
    with pytest.raises(
        ContractError, match=rf"p.jsonl:1: the run null is not {RUN.id}, the run of the file \(PRD005\)"
    ):
        read_predictions(path, LIMIT)


# ---------------------------------------------------------------------------------------------- coordinate statistics


def test_levels_are_symmetric() -> None:
    assert [round(1 - level, 10) for level in reversed(QUANTILE_LEVELS)] == list(QUANTILE_LEVELS)
    assert QUANTILE_LEVELS == (0.05, 0.1, 0.25, 0.75, 0.9, 0.95)


def test_statistics_by_hand() -> None:
    p = np.zeros((3, 1000))
    p[0, 7] = 1
    p[1, [400, 600]] = 0.5
    p[2] = 1  # not normalised: every bin alike
    stats = coord_stats(p)
    assert stats.expected == pytest.approx((7, 500, 499.5))
    assert stats.std == pytest.approx((0, 100, 288.675), abs=1e-3)
    assert stats.quantiles == ((7,) * 6, (400, 400, 400, 600, 600, 600), (49, 99, 249, 749, 899, 949))
    item = PredictedObject("cat", poly=(1, 2, 3, 4, 5, 9, 7, 7)[:6], coords=coord_stats(np.vstack([p, p])))
    assert Prediction(0, ("a.png",), 1, 1, (item,)).line()


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.01), st.sampled_from([0, 1, 500, 997])
)
def test_central_intervals_hold_their_mass(weights: list[float], start: int) -> None:
    p = np.zeros((1, 1000))
    p[0, start : start + 3] = weights
    (quantiles,) = coord_stats(p).quantiles
    for i, level in enumerate(QUANTILE_LEVELS[:3]):
        inside = p[0, quantiles[i] : quantiles[-1 - i] + 1].sum() / p.sum()
        assert inside >= 1 - 2 * level - 1e-9


@pytest.mark.parametrize(
    "p",
    [np.ones(1000), np.ones((1, 999)), np.zeros((1, 1000)), np.full((1, 1000), -1.0), np.full((1, 1000), np.nan)],
    ids=["one row", "999 bins", "no mass", "negative", "nan"],
)
def test_what_is_no_distribution(p: Any) -> None:
    with pytest.raises(ValueError, match="distribution"):
        coord_stats(p)
