"""Every shipped config is what its name says."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest

from coordspec.config.check import CheckedConfig, CheckOptions, check_config
from coordspec.config.model import Config
from coordspec.shapes.dataset import DatasetSpec, write_dataset

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FILES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
DEMOS = [name for name in FILES if name.startswith("demo/")]
RECIPES = [name for name in FILES if "/" in name and name not in DEMOS]


@functools.cache
def checked(name: str) -> CheckedConfig:
    return check_config(str(CONFIGS / name), CheckOptions(data=False))


def config_of(name: str) -> Config:
    config = checked(name).config
    assert config is not None, [str(issue) for issue in checked(name).issues]
    return config


def test_what_is_shipped() -> None:
    assert FILES == [
        "base.yaml",
        "demo/continued.yaml",
        "demo/overlay.yaml",
        "demo/rollout_matching.yaml",
        "demo/stage1.yaml",
        "demo/stage1_continued.yaml",
        "demo/stage2.yaml",
        "demo/stage2_a_only.yaml",
        "demo/stage2_b_only_ablation.yaml",
        "demo/stage2_mixed.yaml",
        "rollout_matching/sft.yaml",
        "stage1/retrain.yaml",
        "stage1/retrain_hard_ce.yaml",
        "stage1/retrain_lora.yaml",
        "stage2_ab/a_only.yaml",
        "stage2_ab/b_only_ablation.yaml",
        "stage2_ab/base.yaml",
        "stage2_ab/mixed.yaml",
        "stage2_ab/reordered_gt_sft_ablation.yaml",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("stage2_ab/b_only_ablation.yaml", ["advice stage2_ab.schedule.b_ratio"]),
        ("demo/stage2_b_only_ablation.yaml", ["advice stage2_ab.schedule.b_ratio"]),
        ("stage2_ab/reordered_gt_sft_ablation.yaml", ["warning stage2_ab.channel_b.reordered_gt_sft"]),
    ],
)
def test_what_an_ablation_is_told(name: str, found: list[str]) -> None:
    assert [f"{issue.severity} {str(issue).partition(':')[0]}" for issue in checked(name).issues] == found


EXPECTED: dict[str, dict[str, Any]] = {
    "stage1/retrain.yaml": {
        "custom.trainer_variant": "stage1_sft",
        "custom.coord_tokens.enabled": True,
        "custom.coord_soft_ce_w1.enabled": True,
        "custom.coord_soft_ce_w1.ce_weight": 0,
    },
    "stage1/retrain_hard_ce.yaml": {"custom.coord_soft_ce_w1.ce_weight": 1, "custom.coord_soft_ce_w1.gate_weight": 1},
    "stage1/retrain_lora.yaml": {"lora.enabled": True, "custom.coord_soft_ce_w1.enabled": True},
    "stage2_ab/base.yaml": {"mask_policy": "unified", "iou_gate": 0.3},
    "stage2_ab/mixed.yaml": {"mask_policy": "unified", "stage2_ab.schedule.b_ratio": 0.5},
    "stage2_ab/a_only.yaml": {"mask_policy": "unified", "stage2_ab.schedule.b_ratio": 0},
    "stage2_ab/b_only_ablation.yaml": {"mask_policy": "unified", "stage2_ab.schedule.b_ratio": 1},
    "stage2_ab/reordered_gt_sft_ablation.yaml": {"mask_policy": "reordered_gt_sft"},
    "rollout_matching/sft.yaml": {
        "custom.trainer_variant": "rollout_matching_sft",
        "mask_policy": "rollout_matching",
        "custom.coord_soft_ce_w1.enabled": True,
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_its_name_says(name: str) -> None:
    config = config_of(name)
    found = {path: functools.reduce(getattr, path.split("."), config) for path in EXPECTED[name]}
    assert found == EXPECTED[name]


def test_every_run_has_a_folder_of_its_own() -> None:
    folders = [config_of(name).training.output_dir for name in FILES]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("folder", ["stage1/retrain", "stage2_ab/a_only", "stage2_ab/b_only", "stage2_ab/mixed"])
def test_every_main_recipe_has_a_demo(folder: str) -> None:
    bases = {Path(file).relative_to(CONFIGS).as_posix() for name in DEMOS for file in checked(name).resolved.files}
    assert [base for base in bases if base.startswith(folder)]
    assert "rollout_matching/sft.yaml" in bases


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_stays_in_the_folder_of_the_demo_and_on_the_cpu(name: str) -> None:
    config = config_of(name)
    paths = [config.model.path, *config.data.train, *config.data.val, config.training.output_dir]
    assert {Path(path).relative_to(ROOT).parts[0] for path in paths} == {"demo-out"}
    assert config.training.use_cpu
    assert not config.training.bf16


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_is_its_recipe_otherwise(name: str) -> None:
    """What makes the method, its terms and its policy, is that of the recipe; how much a term weighs may differ."""
    recipes = [file for file in checked(name).resolved.files if "/demo/" not in file and not file.endswith("base.yaml")]
    for recipe in recipes[:1]:
        config, base = config_of(name), config_of(Path(recipe).relative_to(CONFIGS).as_posix())
        assert (config.stage2_ab, config.mask_policy) == (base.stage2_ab, base.mask_policy)
        assert config.custom.model_copy(update=UNWEIGHED) == base.custom.model_copy(update=UNWEIGHED)
        assert _terms(config) == _terms(base)


@pytest.mark.parametrize("name", ["stage2_mixed", "stage2_a_only", "rollout_matching"])
def test_what_goes_on_from_stage_1_can_be_compared(name: str) -> None:
    """The same start, data, steps, optimizer and rates, so that only the method differs; max_steps outdoes epochs."""
    one, other = config_of("demo/stage1_continued.yaml"), config_of(f"demo/{name}.yaml")
    same = {"training": {"output_dir", "num_train_epochs"}, "data": {"packing", "pack_length"}}
    for section, but in same.items():
        assert getattr(one, section).model_dump(exclude=but) == getattr(other, section).model_dump(exclude=but)
    assert not one.data.packing
    assert (one.model, one.template, one.custom.trainer_variant) == (other.model, other.template, "stage1_sft")


UNWEIGHED: dict[str, Any] = {"coord_soft_ce_w1": None}


def _terms(config: Config) -> set[str]:
    loss = config.custom.coord_soft_ce_w1
    return {name for name, value in loss.model_dump().items() if name == "enabled" or name.endswith("_weight") if value}


def test_the_demos_pass_with_their_data_once_it_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    list(write_dataset(tmp_path / "demo-out/shapes", DatasetSpec({"train": 4, "val": 2}), overwrite=False))
    for folder in ("tiny-model", "stage1/final"):
        (tmp_path / "demo-out" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in DEMOS:
        found = check_config(f"configs/{name}")
        assert found.config is not None, found.issues
        assert found.issues == () or "ablation" in name


def test_data_that_is_not_there_is_an_error_unless_it_is_left_out() -> None:
    found = check_config(str(CONFIGS / "stage1/retrain.yaml")).issues
    assert {issue.name for issue in found} == {"data-missing", "model-missing"}
