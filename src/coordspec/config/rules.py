"""Rules between settings. Each is a small function; the table at the end says which settings it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from coordspec.config.extends import Fault, place_of
from coordspec.config.model import Config
from coordspec.config.training import REORDERED, UNIFIED
from coordspec.config.yaml_tree import YamlEntry, YamlNode, find, nearest, shown_node
from coordspec.contracts import rule
from coordspec.errors import Pointer, dotted_path

_COORD_LOSS: Final = "custom.coord_soft_ce_w1"
_VARIANT: Final = "custom.trainer_variant"
_ROLLOUT: Final = "rollout_matching"
_POLICY: Final = "stage2_ab.channel_b.mask_policy"
_REORDERED: Final = "stage2_ab.channel_b.reordered_gt_sft"


@dataclass(frozen=True, slots=True)
class View:
    """The typed config beside the places of its settings."""

    config: Config
    root: YamlNode

    def given(self, path: str) -> YamlEntry | None:
        """The entry of a setting that stands in some file, as anything but null."""
        entry = find(self.root, tuple(path.split(".")))
        return None if entry is None or entry.node.value is None else entry

    def value(self, path: str) -> Any:
        """The value of a setting, None below a section that is not there."""
        value: Any = self.config
        for step in path.split("."):
            value = None if value is None else getattr(value, step)
        return value

    def fault(self, name: str, path: str, *others: str, **values: object) -> Fault:
        """A finding at the key of a setting, or of the nearest section that is there.

        The others are named in it as {other}: value and place of each setting that plays a part.
        """
        at, entry = nearest(self.root, tuple(path.split(".")))
        said = [self._stated(other, entry) for other in others]
        stated = " and ".join([", ".join(said[:-1]), *said[-1:]] if len(said) > 1 else said)
        values = {"path": path, "value": self._shown(path), "other": stated, **values}
        return Fault(name, at, entry, values, on_key=True)

    def _stated(self, path: str, seen: YamlEntry) -> str:
        entry = find(self.root, tuple(path.split(".")))
        where = place_of(entry, seen.key) if entry is not None else "by default"
        return f"{path} is {self._shown(path)} ({where})"

    def _shown(self, path: str) -> str:
        entry = find(self.root, tuple(path.split(".")))
        if entry is not None:
            return shown_node(entry.node)
        value = self.value(path)
        if value is None or isinstance(value, bool):
            return str(value).lower().replace("none", "null")
        return "empty" if value == () else f"{value:g}" if isinstance(value, float) else str(value)


Check: TypeAlias = Callable[[View], Iterator[Fault]]


# ---------------------------------------------------------------- coord tokens


def coord_loss_required(view: View) -> Iterator[Fault]:
    custom = view.config.custom
    if custom.trainer_variant == "stage1_sft" and custom.coord_tokens.enabled and not custom.coord_soft_ce_w1.enabled:
        yield view.fault("coord-loss-required", "custom.coord_tokens.enabled", f"{_COORD_LOSS}.enabled")


def coord_loss_unused(view: View) -> Iterator[Fault]:
    custom = view.config.custom
    if custom.trainer_variant == "stage1_sft" and custom.coord_soft_ce_w1.enabled and not custom.coord_tokens.enabled:
        yield view.fault("coord-loss-unused", f"{_COORD_LOSS}.enabled", "custom.coord_tokens.enabled")


def coord_token_untaught(view: View) -> Iterator[Fault]:
    loss = view.config.custom.coord_soft_ce_w1
    if loss.enabled and loss.gate_weight == 0 and loss.ce_weight == 0:
        weights = [f"{_COORD_LOSS}.gate_weight", f"{_COORD_LOSS}.ce_weight"]
        first, second = sorted(weights, key=lambda path: view.given(path) is None)
        yield view.fault("coord-token-untaught", first, second)


# ---------------------------------------------------------------- Stage-2


def stage2_section_missing(view: View) -> Iterator[Fault]:
    if view.config.custom.trainer_variant == "stage2_ab" and view.config.stage2_ab is None:
        yield view.fault("stage2-section-missing", _VARIANT)


def stage2_section_unused(view: View) -> Iterator[Fault]:
    if view.config.custom.trainer_variant != "stage2_ab" and view.config.stage2_ab is not None:
        yield view.fault("stage2-section-unused", "stage2_ab", _VARIANT)


def mask_policy_contradiction(view: View) -> Iterator[Fault]:
    policy, reordered = view.value(_POLICY), view.value(_REORDERED)
    if None not in (policy, reordered) and reordered is not (policy == REORDERED):
        yield view.fault("mask-policy-contradiction", _REORDERED, _POLICY)


def mask_policy_legacy(view: View) -> Iterator[Fault]:
    policy = _policy(view)
    if policy not in (None, UNIFIED):
        path = _POLICY if view.given(_POLICY) is not None else _REORDERED
        yield view.fault("mask-policy-legacy", path, policy=policy)


def stop_untaught(view: View) -> Iterator[Fault]:
    stage2 = view.config.stage2_ab
    if stage2 is not None and stage2.schedule.b_ratio == 1 and _policy(view) == UNIFIED:
        yield view.fault("stop-untaught", "stage2_ab.schedule.b_ratio")


def _policy(view: View) -> str | None:
    """The policy of Channel-B; None where there is none, or two."""
    stage2 = view.config.stage2_ab
    return None if stage2 is None or any(mask_policy_contradiction(view)) else stage2.channel_b.policy


def channel_b_mostly(view: View) -> Iterator[Fault]:
    ratio, limit = view.value("stage2_ab.schedule.b_ratio"), rule("channel-b-mostly").params["b_ratio"]
    if ratio is not None and ratio > limit and not any(stop_untaught(view)):
        yield view.fault("channel-b-mostly", "stage2_ab.schedule.b_ratio", limit=limit)


def softctx_repeated(view: View) -> Iterator[Fault]:
    iterations, limit = view.value("stage2_ab.n_softctx_iter"), rule("softctx-repeated").params["n_softctx_iter"]
    if iterations is not None and iterations > limit:
        yield view.fault("softctx-repeated", "stage2_ab.n_softctx_iter", limit=limit)


# ---------------------------------------------------------------- rollouts


def _writes_rollouts(view: View) -> bool:
    stage2 = view.config.stage2_ab
    match view.config.custom.trainer_variant:
        case "stage1_sft":
            return False
        case "rollout_matching_sft":
            return True
        case "stage2_ab":
            return stage2 is not None and stage2.schedule.b_ratio > 0


def rollout_too_long(view: View) -> Iterator[Fault]:
    room = view.config.template.max_length - view.config.rollout_matching.decoding.max_new_tokens
    if _writes_rollouts(view) and room < 1:
        yield view.fault("rollout-too-long", f"{_ROLLOUT}.decoding.max_new_tokens", "template.max_length")


def image_too_long(view: View) -> Iterator[Fault]:
    template, pixels = view.config.template, rule("image-too-long").params["pixels_per_token"]
    tokens = (template.max_pixels or 0) // pixels
    new = view.config.rollout_matching.decoding.max_new_tokens if _writes_rollouts(view) else 0
    if tokens and tokens + new >= template.max_length and new < template.max_length:
        others = ["template.max_length", *[f"{_ROLLOUT}.decoding.max_new_tokens"] * bool(new)]
        yield view.fault("image-too-long", "template.max_pixels", *others, tokens=tokens)


def vllm_section_missing(view: View) -> Iterator[Fault]:
    if view.config.rollout_matching.backend == "vllm" and view.config.rollout_matching.vllm is None:
        yield view.fault("vllm-section-missing", f"{_ROLLOUT}.backend")


def vllm_needs_lora(view: View) -> Iterator[Fault]:
    if view.config.rollout_matching.backend == "vllm" and not view.config.lora.enabled:
        yield view.fault("vllm-needs-lora", f"{_ROLLOUT}.backend", "lora.enabled")


def vllm_head_trained(view: View) -> Iterator[Fault]:
    if _adapts_server(view) and view.config.model.head != "frozen":
        yield view.fault("vllm-head-trained", f"{_ROLLOUT}.backend", "model.head")


def vllm_vision_trained(view: View) -> Iterator[Fault]:
    trained = [f"model.{name}" for name in ("freeze_vision", "freeze_projector") if not view.value(f"model.{name}")]
    if _adapts_server(view) and trained:
        yield view.fault("vllm-vision-trained", f"{_ROLLOUT}.backend", *trained)


def _adapts_server(view: View) -> bool:
    section = view.config.rollout_matching
    return section.backend == "vllm" and section.vllm is not None and view.config.lora.enabled


# ---------------------------------------------------------------- data and lengths


def pixels_inverted(view: View) -> Iterator[Fault]:
    low, high = view.config.template.min_pixels, view.config.template.max_pixels
    if low is not None and high is not None and low > high:
        yield view.fault("pixels-inverted", "template.min_pixels", "template.max_pixels")


def pack_too_short(view: View) -> Iterator[Fault]:
    data = view.config.data
    if data.packing and data.pack_length < view.config.template.max_length:
        path = "data.pack_length" if view.given("data.pack_length") else "template.max_length"
        other = "template.max_length" if path == "data.pack_length" else "data.pack_length"
        yield view.fault("pack-too-short", path, other)


def samples_below_step(view: View) -> Iterator[Fault]:
    training, limit = view.config.training, view.config.data.max_samples
    needed = training.per_device_train_batch_size * training.gradient_accumulation_steps
    if limit is not None and limit < needed and not view.config.data.packing:
        others = ("training.per_device_train_batch_size", "training.gradient_accumulation_steps")
        yield view.fault("samples-below-step", "data.max_samples", *others, needed=needed)


def validation_on_training_data(view: View) -> Iterator[Fault]:
    train = view.config.data.train
    for index, path in enumerate(view.config.data.val):
        at: Pointer = ("data", "val", index)
        entry = find(view.root, at)
        if path in train and entry is not None:
            other = find(view.root, ("data", "train", train.index(path)))
            where = place_of(other, entry.key) if other is not None else ""
            yield Fault("validation-on-training-data", at, entry, {"value": shown_node(entry.node), "other": where})


# ---------------------------------------------------------------- training


def nothing_trained(view: View) -> Iterator[Fault]:
    model = view.config.model
    if model.freeze_vision and model.freeze_projector and model.freeze_language and model.head == "frozen":
        others = ("model.freeze_vision", "model.freeze_projector", "model.freeze_language")
        yield view.fault("nothing-trained", "model.head", *others)


def flash_attention_precision(view: View) -> Iterator[Fault]:
    model, training = view.config.model, view.config.training
    if model.attn_implementation == "flash_attention_2" and model.dtype == "float32" and not training.bf16:
        yield view.fault("flash-attention-precision", "model.attn_implementation", "model.dtype", "training.bf16")


def warmup_beyond_steps(view: View) -> Iterator[Fault]:
    training = view.config.training
    if 0 < training.max_steps <= training.warmup_steps:
        yield view.fault("warmup-beyond-steps", "training.warmup_steps", "training.max_steps")


def best_needs_validation(view: View) -> Iterator[Fault]:
    metric = view.config.eval.metric_for_best
    if metric is not None and not view.config.data.val:
        yield view.fault("best-needs-validation", "eval.metric_for_best", "data.val")
    elif metric not in (None, "loss") and not view.config.eval.generate:
        yield view.fault("best-needs-validation", "eval.metric_for_best", "eval.generate")


# ---------------------------------------------------------------- settings without effect


def setting_without_effect(view: View) -> Iterator[Fault]:
    for path, other, idle in _IDLE:
        if view.given(path) is not None and idle(view.value(other)):
            yield view.fault("setting-without-effect", path, other)


_IDLE: Final[tuple[tuple[str, str, Callable[[Any], bool]], ...]] = (
    ("training.vision_learning_rate", "model.freeze_vision", lambda frozen: frozen),
    ("training.projector_learning_rate", "model.freeze_projector", lambda frozen: frozen),
    ("training.coord_learning_rate", "model.head", lambda head: head == "frozen"),
    ("training.muon_learning_rate", "training.optim", lambda name: name != "muon"),
    ("training.eval_steps", "data.val", lambda files: not files),
    ("data.max_val_samples", "data.val", lambda files: not files),
    ("eval.generate", "data.val", lambda files: not files),
    (_ROLLOUT, _VARIANT, lambda variant: variant == "stage1_sft"),
    (f"{_ROLLOUT}.iou_gate", _VARIANT, lambda variant: variant == "stage2_ab"),
    (f"{_ROLLOUT}.vllm", f"{_ROLLOUT}.backend", lambda backend: backend != "vllm"),
    (f"{_ROLLOUT}.decoding.temperature", f"{_ROLLOUT}.decoding.do_sample", lambda draws: not draws),
    (f"{_ROLLOUT}.decoding.top_p", f"{_ROLLOUT}.decoding.do_sample", lambda draws: not draws),
    (f"{_ROLLOUT}.decoding.top_k", f"{_ROLLOUT}.decoding.do_sample", lambda draws: not draws),
)
"""A setting, the one that makes it idle, and the values of that one which do."""


CROSS_FIELD: Final[tuple[tuple[Check, tuple[str, ...]], ...]] = (
    (coord_loss_required, (_VARIANT, "custom.coord_tokens.enabled", f"{_COORD_LOSS}.enabled")),
    (coord_loss_unused, (_VARIANT, "custom.coord_tokens.enabled", f"{_COORD_LOSS}.enabled")),
    (coord_token_untaught, (f"{_COORD_LOSS}.enabled", f"{_COORD_LOSS}.gate_weight", f"{_COORD_LOSS}.ce_weight")),
    (stage2_section_missing, (_VARIANT, "stage2_ab")),
    (stage2_section_unused, (_VARIANT, "stage2_ab")),
    (mask_policy_contradiction, (_POLICY, _REORDERED)),
    (mask_policy_legacy, (_POLICY, _REORDERED)),
    (stop_untaught, ("stage2_ab.schedule.b_ratio", _POLICY, _REORDERED)),
    (channel_b_mostly, ("stage2_ab.schedule.b_ratio", _POLICY, _REORDERED)),
    (softctx_repeated, ("stage2_ab.n_softctx_iter",)),
    (rollout_too_long, (_VARIANT, "stage2_ab", f"{_ROLLOUT}.decoding.max_new_tokens", "template.max_length")),
    (image_too_long, (_VARIANT, "template.max_pixels", f"{_ROLLOUT}.decoding.max_new_tokens", "template.max_length")),
    (vllm_section_missing, (f"{_ROLLOUT}.backend", f"{_ROLLOUT}.vllm")),
    (vllm_needs_lora, (f"{_ROLLOUT}.backend", "lora.enabled")),
    (vllm_head_trained, (f"{_ROLLOUT}.backend", f"{_ROLLOUT}.vllm", "lora.enabled", "model.head")),
    (vllm_vision_trained, (f"{_ROLLOUT}.backend", f"{_ROLLOUT}.vllm", "lora.enabled", "model.freeze_vision",
                           "model.freeze_projector")),
    (pixels_inverted, ("template.min_pixels", "template.max_pixels")),
    (pack_too_short, ("data.packing", "data.pack_length", "template.max_length")),
    (samples_below_step, ("data.max_samples", "training.per_device_train_batch_size",
                          "training.gradient_accumulation_steps", "data.packing")),
    (validation_on_training_data, ("data.train", "data.val")),
    (nothing_trained, ("model.freeze_vision", "model.freeze_projector", "model.freeze_language", "model.head")),
    (flash_attention_precision, ("model.attn_implementation", "model.dtype", "training.bf16")),
    (warmup_beyond_steps, ("training.warmup_steps", "training.max_steps")),
    (best_needs_validation, ("eval.metric_for_best", "eval.generate", "data.val")),
    *((setting_without_effect, ()),),
)  # fmt: skip
"""Every rule between settings, and the settings that it reads: it is left out where one of them is faulty itself."""


def check_between(view: View, faulty: frozenset[Pointer]) -> Iterator[Fault]:
    """What is wrong between settings, but for rules that read a faulty one."""
    named = {dotted_path(at) for at in faulty}
    for check, reads in CROSS_FIELD:
        if not any(_touches(path, bad) for path in reads for bad in named):
            yield from check(view)


def _touches(path: str, bad: str) -> bool:
    """Whether a setting is the faulty place, or stands above or below it."""
    return f"{path}.".startswith(f"{bad}.") or f"{bad}.".startswith((f"{path}.", f"{path}["))
