"""The typed config: exact types, ranges, defaults; what it says of itself; and that the libraries know its names."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import jsonschema
import pytest
from PIL import Image
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from coordspec.config.model import Config
from coordspec.config.sections import GENERATION, HF, PEFT, Section, facts, section_of, section_text
from coordspec.config.show import config_schema
from coordspec.config.training import REORDERED, ROLLOUT_MATCHING, UNIFIED
from coordspec.contracts import contract_bytes, mask_policies, rule, schema

LEAST: Mapping[str, Any] = {"model": {"path": "m"}, "data": {"train": ["t"]}, "training": {"output_dir": "o"}}
OWN_RATES = {"vision_learning_rate", "projector_learning_rate", "coord_learning_rate", "muon_learning_rate"}


def fields(of: type[Section] = Config, above: tuple[str, ...] = ()) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in of.model_fields.items():
        yield ".".join((*above, name)), field
        inner = section_of(field)
        if inner is not None:
            yield from fields(inner, (*above, name))


FIELDS = dict(fields())
SETTINGS = {path: field for path, field in FIELDS.items() if section_of(field) is None}
SECTIONS = {path: inner for path, field in FIELDS.items() if (inner := section_of(field)) is not None}


def built(path: str | None = None, value: Any = None) -> Config:
    """The least config with one value more."""
    document: dict[str, Any] = json.loads(json.dumps(LEAST))
    if path is not None:
        *above, name = path.split(".")
        inner = functools.reduce(lambda at, key: at.setdefault(key, {}), above, document)
        inner[name] = value
    return Config.model_validate(document)


def value_at(config: Config, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), config)


def accepts(path: str, value: Any) -> bool:
    try:
        built(path, value)
    except ValidationError:
        return False
    return True


def bases(annotation: Any) -> set[Any]:
    """The types and literals that a setting takes: ``{float, NoneType}``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bases(parts[0])
    if origin in (Union, types.UnionType):
        return set().union(*(bases(part) for part in parts))
    if origin is Literal:
        return set(parts)
    return {origin or annotation}


# ----------------------------------------------------------------------------------------------------- types and ranges


def test_the_least_config() -> None:
    config = built()
    assert (config.model.path, config.data.train, config.training.output_dir) == ("m", ("t",), "o")
    assert config.stage2_ab is None
    assert config.rollout_matching.vllm is None


@pytest.mark.parametrize("path", ["model", "model.path", "data", "data.train", "training", "training.output_dir"])
def test_what_is_required(path: str) -> None:
    document = json.loads(json.dumps(LEAST))
    section, _, name = path.partition(".")
    del (document[section] if name else document)[name or section]
    with pytest.raises(ValidationError, match="Field required"):
        Config.model_validate(document)


def test_nothing_else_is_required() -> None:
    required = {path for path, field in SETTINGS.items() if field.is_required()}
    assert required == {"model.path", "data.train", "training.output_dir"}


NUMBERS = [path for path, field in SETTINGS.items() if bases(field.annotation) & {int, float}]
FLOATS = [path for path, field in SETTINGS.items() if float in bases(field.annotation)]
INTEGERS = [path for path, field in SETTINGS.items() if int in bases(field.annotation)]
BOOLS = [path for path, field in SETTINGS.items() if bool in bases(field.annotation)]
TEXTS = [
    path for path, field in SETTINGS.items() if bases(field.annotation) & {str} or "stop" in bases(field.annotation)
]


def test_the_kinds_are_told_apart() -> None:
    assert min(map(len, (FLOATS, INTEGERS, BOOLS, TEXTS))) >= 7
    assert not set(NUMBERS) & set(BOOLS)


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", "1e-5", "", [1], float("nan"), float("inf"), 10**400], ids=repr)
def test_a_number_is_nothing_else(path: str, value: object) -> None:
    integer = path in INTEGERS and value == 10**400
    assert accepts(path, value) is integer


@pytest.mark.parametrize("path", FLOATS)
def test_a_whole_number_is_a_float(path: str) -> None:
    whole = 0 if accepts(path, 0.0) else 1
    config = built(path, whole)
    assert type(value_at(config, path)) is float


@pytest.mark.parametrize("path", INTEGERS)
@pytest.mark.parametrize("value", [1.0, 1.5], ids=repr)
def test_a_float_is_no_integer(path: str, value: float) -> None:
    assert not accepts(path, value)


@pytest.mark.parametrize("path", BOOLS)
@pytest.mark.parametrize("value", [0, 1, "true", "yes", []], ids=repr)
def test_a_bool_is_nothing_else(path: str, value: object) -> None:
    assert accepts(path, True)
    assert accepts(path, False)
    assert not accepts(path, value)


@pytest.mark.parametrize("path", TEXTS)
@pytest.mark.parametrize("value", [1, True, "", ["a"], b"a"], ids=repr)
def test_text_is_nothing_else(path: str, value: object) -> None:
    assert not accepts(path, value)


@pytest.mark.parametrize("path", ["data.train", "data.val", "lora.target_modules", "eval.iou_thresholds"])
@pytest.mark.parametrize("value", [{"a"}, {"a": 1}, "a", 0.5, [[0.5]], None], ids=repr)
def test_a_list_is_nothing_else(path: str, value: object) -> None:
    assert not accepts(path, value)


NULLABLE = {path for path, field in SETTINGS.items() if types.NoneType in bases(field.annotation)}


@pytest.mark.parametrize("path", SETTINGS)
def test_null_where_it_means_something(path: str) -> None:
    assert accepts(path, None) is (path in NULLABLE)


RANGES = [
    ("data.train", [], False),
    ("data.val", [], True),
    ("data.max_samples", 0, False),
    ("data.max_samples", 1, True),
    ("template.system_prompt", "You see.", True),
    ("template.user_prompt", "a < b <|", True),
    ("template.user_prompt", "Find<|im_end|>", False),
    ("template.system_prompt", "<think>", False),
    ("training.max_steps", -2, False),
    ("training.max_steps", -1, True),
    ("training.max_steps", 0, False),
    ("training.max_steps", 1, True),
    ("training.learning_rate", -1e-9, False),
    ("training.learning_rate", 0, True),
    ("training.adam_beta1", 1, False),
    ("training.adam_epsilon", 0, False),
    ("training.warmup_steps", 0.03, True),
    ("training.lr_scheduler_type", "cosine_with_min_lr", False),
    ("training.optim", "adamw_bnb_8bit", False),
    ("lora.lora_dropout", 1, False),
    ("lora.target_modules", [], False),
    ("model.dtype", "float16", False),
    ("custom.trainer_variant", "stage1", False),
    ("custom.coord_soft_ce_w1.target_truncate", 0, True),
    ("stage2_ab.schedule.b_ratio", 0, True),
    ("stage2_ab.schedule.b_ratio", 1, True),
    ("stage2_ab.channel_b.iou_gate", 1.01, False),
    ("rollout_matching.decoding.top_p", 0, False),
    ("rollout_matching.decoding.top_k", 0, True),
    ("rollout_matching.vllm", {}, True),
    ("rollout_matching.vllm.base_url", "https://server:8000/v1", True),
    ("rollout_matching.vllm.base_url", "file:///etc", False),
    ("rollout_matching.vllm.base_url", "http://", False),
    ("eval.iou_thresholds", [], False),
    ("eval.iou_thresholds", [0.5, 0.5], False),
    ("eval.iou_thresholds", [0.9, 0.5], False),
    ("eval.iou_thresholds", [0, 0.5], False),
    ("eval.iou_thresholds", [0.5, 1], True),
]


@pytest.mark.parametrize(("path", "value", "good"), RANGES, ids=str)
def test_ranges(path: str, value: object, good: bool) -> None:
    assert accepts(path, value) is good


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("template.user_prompt", "Go <|im_end|>.", "the tokenizer would read <|im_end|> in it as a special token"),
        ("training.max_steps", 0, "write -1 for no limit, or a number of steps from 1"),
        ("eval.iou_thresholds", [0.5, 0.5], "write them in ascending order, none twice"),
    ],
)
def test_messages_of_rules_on_one_setting(path: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        built(path, value)
    (error,) = caught.value.errors()
    assert (".".join(map(str, error["loc"])), error["msg"]) == (path, f"Value error, {message}")


@pytest.mark.parametrize("path", ["", *SECTIONS])
def test_an_unknown_key_is_refused(path: str) -> None:
    assert not accepts(f"{path}.lr".lstrip("."), 1)


# --------------------------------------------------------------------------------------------------------------- frozen


@pytest.mark.parametrize("path", SETTINGS)
def test_nothing_changes_afterwards(path: str) -> None:
    config = Config.model_validate({**LEAST, "stage2_ab": {}, "rollout_matching": {"vllm": {}}})
    above, _, name = path.rpartition(".")
    value = value_at(config, path)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value_at(config, above), name, value)
    assert isinstance(hash(value), int), "a value that can change"


# ------------------------------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize("path", [path for path, field in SETTINGS.items() if not field.is_required()])
def test_a_default_is_what_the_config_would_read(path: str) -> None:
    default = SETTINGS[path].default
    written = json.loads(json.dumps(default))
    assert value_at(built(path, written), path) == default
    assert type(value_at(built(path, written), path)) is type(default)


def test_defaults_that_others_own() -> None:
    data = built().data
    assert data.max_image_pixels == Image.MAX_IMAGE_PIXELS
    assert data.max_line_bytes == rule("too-long").params["max_line_bytes"]


def test_the_default_lengths_fit_together() -> None:
    config = built()
    longest = config.template.max_length
    assert config.rollout_matching.decoding.max_new_tokens < longest
    assert config.eval.max_new_tokens < longest
    assert config.data.pack_length >= longest


# ---------------------------------------------------------------------------------------------------------- mask policy


@pytest.mark.parametrize("name", ["unified", "reordered_gt_sft"])
def test_two_keys_that_agree_are_a_policy(name: str) -> None:
    keys = {"mask_policy": name, "reordered_gt_sft": name == "reordered_gt_sft"}
    document = {**LEAST, "custom": {"trainer_variant": "stage2_ab"}, "stage2_ab": {"channel_b": keys}}
    assert Config.model_validate(document).mask_policy == name


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"mask_policy": "unified", "reordered_gt_sft": True},
            "mask_policy: unified contradicts reordered_gt_sft: true",
        ),
        (
            {"mask_policy": "reordered_gt_sft", "reordered_gt_sft": False},
            "mask_policy: reordered_gt_sft contradicts reordered_gt_sft: false",
        ),
    ],
)
def test_a_contradiction_has_no_policy(keys: dict[str, Any], message: str) -> None:
    document = {**LEAST, "custom": {"trainer_variant": "stage2_ab"}, "stage2_ab": {"channel_b": keys}}
    config = Config.model_validate(document)
    with pytest.raises(ValueError, match=message):
        _ = config.mask_policy


def test_the_policy_of_the_other_variants() -> None:
    assert built().mask_policy is None
    assert built("custom.trainer_variant", "rollout_matching_sft").mask_policy == "rollout_matching"
    with pytest.raises(ValueError, match="needs the section stage2_ab"):
        _ = built("custom.trainer_variant", "stage2_ab").mask_policy


def test_the_policies_are_those_of_the_contract() -> None:
    policies = mask_policies()
    assert {REORDERED, ROLLOUT_MATCHING, UNIFIED} <= policies.by_name.keys()
    assert policies.default == UNIFIED
    assert all(accepts("stage2_ab.channel_b.mask_policy", name) for name in policies.by_name)


def test_the_gate_in_effect() -> None:
    document = {**LEAST, "rollout_matching": {"iou_gate": 0.4}}
    assert Config.model_validate(document).iou_gate == 0.4
    assert Config.model_validate({**document, "stage2_ab": {"channel_b": {"iou_gate": 0.6}}}).iou_gate == 0.6


# -------------------------------------------------------------------------------------------------- what the model says


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_is_described(path: str) -> None:
    field = SETTINGS[path]
    unit, source = facts(field)
    assert field.description
    assert field.description.endswith(".")
    assert source
    assert unit is None or unit.strip()


@pytest.mark.parametrize("path", NUMBERS)
def test_a_number_counts_something_or_is_a_plain_factor(path: str) -> None:
    plain = ("Weight", "Factor", "Divisor", "Peak learning rate", "Decay", "Decoupled", "Term", "Seed", "Numerator")
    described = SETTINGS[path].description or ""
    assert (facts(SETTINGS[path]).unit is None) is described.startswith(plain)


@pytest.mark.parametrize("path", SECTIONS)
def test_every_section_is_described(path: str) -> None:
    assert section_text(SECTIONS[path]).endswith(".")
    assert "  " not in section_text(SECTIONS[path])


# ---------------------------------------------------------------------------------------------------------- JSON Schema


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert schema("config") == config_schema(), "run: python tools/generate_docs.py"
    assert contract_bytes("config.schema.json").endswith(b"}\n")


def test_the_schema_is_of_the_draft_that_it_names() -> None:
    made = config_schema()
    assert made["$schema"] == jsonschema.Draft7Validator.META_SCHEMA["$schema"]
    jsonschema.Draft7Validator.check_schema(made)


VALUES = [None, True, 0, 1, -1, -2, 0.5, 1.5, "", "x", "unified", "http://a", [], ["x"], [0.5], [1, 2], {}, {"x": 1}]
SCHEMA = jsonschema.Draft7Validator(config_schema())


@pytest.mark.parametrize("path", FIELDS)
def test_schema_and_model_accept_the_same_values(path: str) -> None:
    for value in VALUES:
        if path in ("model", "data", "training") and value == {}:
            continue  # what is required may stand in another file
        document = functools.reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), value)
        assert SCHEMA.is_valid(document) is accepts(path, value), value


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({}, True),
        ({"extends": "base.yaml"}, True),
        ({"extends": ["a.yaml", "b.yaml"]}, True),
        ({"extends": []}, False),
        ({"extends": {"a": 1}}, False),
        ({"extend": "base.yaml"}, False),
        ([], False),
    ],
)
def test_extends_in_the_schema(document: object, good: bool) -> None:
    assert SCHEMA.is_valid(document) is good


def test_what_an_editor_shows() -> None:
    node = config_schema()["properties"]["custom"]["properties"]["coord_soft_ce_w1"]["properties"]["target_sigma"]
    assert node == {
        "description": "Standard deviation of the soft target, a Gaussian around the bin. Unit: bins. "
        "Source: spec coord-token-mode.",
        "default": 2.0,
        "exclusiveMinimum": 0,
        "type": "number",
    }
    assert config_schema()["properties"]["model"]["properties"]["path"]["description"].endswith(" Required.")


def test_the_page_names_every_setting() -> None:
    page = (Path(__file__).parents[1] / "docs/training/CONFIG.md").read_text("utf-8")
    for path, of in SECTIONS.items():
        start = page.index(f"\n{'#' * (path.count('.') + 2)} {path}\n")
        part = page[start : page.find("\n#", start + 2)]
        assert section_text(of) in part
        for name, field in of.model_fields.items():
            assert (f"| `{name}` |" in part) is (section_of(field) is None)


# ----------------------------------------------------------------------------------------------- names of the libraries


def compatible(ours: set[Any], theirs: str) -> bool:
    """Whether every value of a setting is one that a dataclass field of that annotation takes."""
    names = {"int": ("int", "float"), "float": ("float",), "bool": ("bool",), "str": ("str",), "NoneType": ("None",)}
    kinds = {kind.__name__ if isinstance(kind, type) else type(kind).__name__ for kind in ours}
    kinds = {"list" if kind == "tuple" else kind for kind in kinds}
    return all(any(name in theirs for name in names.get(kind, (kind,))) for kind in kinds)


def test_training_arguments_know_the_names() -> None:
    from transformers import TrainingArguments

    theirs = {field.name: str(field.type) for field in dataclasses.fields(TrainingArguments)}
    ours = {path.removeprefix("training."): field for path, field in SETTINGS.items() if path.startswith("training.")}
    assert ours.keys() - theirs.keys() == OWN_RATES
    for name in ours.keys() - OWN_RATES:
        assert compatible(bases(ours[name].annotation), theirs[name]), (name, theirs[name])
    assert {name for name, field in ours.items() if facts(field).source != HF} == OWN_RATES


def test_training_arguments_take_the_values(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    # Newer releases also call gradient_checkpointing activation_checkpointing, and warn where the older name is given.
    left_out = OWN_RATES | {"gradient_checkpointing", "use_cpu"}
    defaults = built("training.output_dir", str(tmp_path)).training.model_dump(exclude=left_out)
    made = TrainingArguments(**defaults, use_cpu=True)
    assert {name: getattr(made, name) for name in defaults} == defaults


@pytest.mark.parametrize("path", ["training.lr_scheduler_type", "training.optim"])
def test_training_arguments_take_every_choice(path: str, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    name = path.removeprefix("training.")
    for choice in bases(SETTINGS[path].annotation) - {"muon"}:  # the one optimizer that is not theirs
        made = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **{name: choice})
        assert (
            str(getattr(made, name).value if hasattr(getattr(made, name), "value") else getattr(made, name)) == choice
        )


@pytest.mark.parametrize("choice", sorted(bases(SETTINGS["training.lr_scheduler_type"].annotation)))
def test_every_schedule_needs_no_more_settings(choice: str) -> None:
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    assert get_scheduler(choice, optimizer, num_warmup_steps=2, num_training_steps=10).get_last_lr()


def test_other_libraries_know_the_names() -> None:
    from peft import LoraConfig
    from transformers import GenerationConfig

    known = {
        PEFT: {field.name for field in dataclasses.fields(LoraConfig)},
        GENERATION: vars(GenerationConfig()).keys(),
    }
    for source, names in known.items():
        ours = {path.rpartition(".")[2] for path, field in SETTINGS.items() if facts(field).source == source}
        assert len(ours) >= 5
        assert ours <= names
