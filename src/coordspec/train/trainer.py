"""Hugging Face's Trainer, adapted once: its loop, optimizers and schedules around the steps of an ``Objective``.

What is ours: where batches come from, what a step counts, what is logged, and how checkpoints are written.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from coordspec.config.training import Training
from coordspec.errors import InputError
from coordspec.ranks import agree, gather_sum, wait, world
from coordspec.run_files import CHECKPOINT
from coordspec.train.objective import LossModule, Objective, Prepared, StepLoss, StepLosses
from coordspec.train.run_dir import checkpoint_path, open_staging, publish, rotate, staging_path

# ---------------------------------------------------------------- arguments


OURS: Final = frozenset(
    {
        "vision_learning_rate",
        "projector_learning_rate",
        "coord_learning_rate",
        "muon_learning_rate",
        "optim",
        "gradient_checkpointing",
    }
)
"""Settings that TrainingArguments do not get: rates of parts, and what is switched on in the model itself."""
REPLACED: Final = frozenset({"num_train_epochs", "max_steps", "dataloader_num_workers", "eval_steps"})
"""Settings that have done their work before: the run's length is a number of steps, and the loader is ours."""


def training_arguments(training: Training, *, evaluates: bool) -> TrainingArguments:
    """Arguments of a run but for ``max_steps``, which depends on the data. Making them lets the ranks of a run meet.

    A run is one pass of the trainer over an endless stream, so its number of epochs is 1.

    Raises:
        InputError: a setting cannot be used on this machine, such as ``bf16`` on a GPU that has none.
    """
    same = training.model_dump(exclude=set(OURS | REPLACED))
    try:
        return TrainingArguments(
            **same,
            optim="adamw_torch_fused" if training.optim == "muon" else training.optim,
            num_train_epochs=1,
            eval_strategy="steps" if evaluates and training.eval_steps is not None else "no",
            eval_steps=training.eval_steps,
            save_strategy="steps",
            logging_strategy="steps",
            logging_nan_inf_filter=False,  # such a loss stops the run
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to=[],
            ddp_find_unused_parameters=False,
            ddp_backend="gloo" if training.use_cpu and world() > 1 else None,
        )
    except ValueError as error:
        raise InputError("training", f"cannot be done on this machine: {error}") from error


_MIB = 1 << 20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux, bytes on macOS


def peak_mib(device: torch.device) -> float:
    """Peak memory so far in MiB: on a GPU what PyTorch has reserved there, else what the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / _MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / _MIB


# ---------------------------------------------------------------- the trainer


TRAINER_STATE: Final = "trainer_state.json"
PROGRESS: Final = "progress.json"
"""File of a checkpoint: metrics since they were logged last, the last evaluation, and the state of the objective."""
_SCORE: Final = "score"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Metrics on validation data, and the score that the best checkpoint has the largest one of; None for none."""

    metrics: Mapping[str, float]
    score: float | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run does at the trainer's word.

    save      write the weights, and all that belongs to them, into a folder
    load      read the weights back from a folder
    log       take the metrics of an optimizer step
    advance   take notice that a step is done
    optimizer make an optimizer of a class, with its options, over the weights
    epoch_of  how often the data has been gone through after a step
    evaluate  measure on validation data; None where there is none
    """

    save: Callable[[Path], None]
    load: Callable[[Path], None]
    log: Callable[[int, Mapping[str, float]], None]
    advance: Callable[[int], None]
    optimizer: Callable[[type[torch.optim.Optimizer], Mapping[str, Any]], torch.optim.Optimizer]
    epoch_of: Callable[[int], float]
    evaluate: Callable[[], Evaluated] | None


class CoordTrainer(Trainer):
    """Trains the model of an objective on the batches that it prepares."""

    # Hugging Face would divide the loss by gradient_accumulation_steps. Ours is divided by the counts of the whole step
    # already: divided twice, gradients would shrink as batches are made smaller, without a word.
    loss_is_scaled_for_ga = True

    def __init__(
        self, model: nn.Module, args: TrainingArguments, loader: DataLoader[Any], objective: Objective, hooks: Hooks
    ) -> None:
        # evaluation is ours, so its data set is only looked at for being there
        super().__init__(
            model=LossModule(model, objective), args=args, train_dataset=loader.dataset, eval_dataset=loader.dataset
        )
        self.remove_callback(PrinterCallback)
        self.last_evaluation: Mapping[str, float] = {}
        self._run_dir = Path(str(args.output_dir))
        self._loader = loader
        self._objective = objective
        self._hooks = hooks
        self._sums: defaultdict[str, float] = defaultdict(float)  # of the metrics since they were logged last
        self._parts: dict[str, torch.Tensor] = {}  # of the step that is running
        self._losses = StepLosses()
        self._began: float | None = None  # when the step that is running began
        self._prepared = 0.0  # when its batches were ready

    @property
    def best(self) -> Path | None:
        """The checkpoint with the largest score so far."""
        step = self.state.best_global_step
        return None if step is None else checkpoint_path(self._run_dir, step)

    def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> tuple[int, int]:
        found: tuple[int, int] = super()._init_training_state(max_steps, *args, **kwargs)
        # A resumed state brings the intervals of its checkpoint along, which would go on in the place of those that the
        # config says now: save_steps and eval_steps may change between two starts of a run.
        self.state.compute_steps(self.args, max_steps)  # type: ignore[no-untyped-call]
        return found

    # ---------------------------------------------------------------- batches and loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader of this rank's share. Accelerate does not prepare it: it would deal it out a second time."""
        return self._loader

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Prepared], torch.Tensor]:
        """The prepared batches of one optimizer step, and their counts over all of them and all ranks.

        Raises:
            CoordspecError: the data of a rank is refused; every rank raises, so none waits for the others.
        """
        # The one place where all batches of a step are known before its first forward. Without it nobody could divide
        # by the counts of the whole step, write the rollouts of a step together, or stop before something is learnt.
        step = self.state.global_step
        self._began = self._began or time.perf_counter()
        self._objective.refresh(step)
        waiting = time.perf_counter()
        with agree(), self.accelerator.autocast():
            # StopIteration is no case here: the stream has as many batches as the run has steps
            loaded = [next(epoch_iterator) for _ in range(num_batches)]
            self._sums["time/data_s"] += time.perf_counter() - waiting
            batches = self._objective.prepare(loaded, step)
        counts_C = gather_sum(torch.stack([prepared.counts_C for prepared in batches]).sum(0).to(device))
        counts = dict(zip(self._objective.counts, counts_C.tolist(), strict=True))
        self._count(self._objective.observe(counts, step))
        self._count(counts)
        self._count(self._objective.times)
        self._objective.times.clear()
        self._prepared = time.perf_counter()
        return batches, counts_C

    def _prepare_inputs(self, inputs: Any) -> Prepared:  # type: ignore[override]  # no dict of tensors
        # Hugging Face's walks through dicts and lists of tensors; a Prepared would stay on the CPU, and an empty dict
        # is an error there.
        prepared: Prepared = inputs.to(self.args.device)
        return prepared

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Not counted: Hugging Face's asks whether ``input_ids`` is in the inputs, which a ``Prepared`` has not."""
        return 0

    def compute_loss(  # type: ignore[override]  # no dict of tensors
        self,
        model: nn.Module,
        inputs: Prepared,
        return_outputs: bool = False,  # noqa: ARG002 (Hugging Face's signature)
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss of one batch, times the number of ranks, since gradients are averaged over them."""
        assert num_items_in_batch is not None, "evaluation does not come this way"
        result: StepLoss = model(inputs, num_items_in_batch)
        self._losses.add(inputs, result.loss.detach())
        for name, value in result.parts.items():  # they stay on the device: reading one here would wait for it
            self._parts[name] = self._parts[name] + value if name in self._parts else value
        return result.loss * world()

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Comes between the backward passes of a step and its optimizer, whatever ``max_grad_norm`` is.

        Raises:
            NonFiniteError: a loss or the gradient is no number; on every rank.
        """
        # The one place between the last backward and optimizer.step() that knows the norm; on_pre_optimizer_step is not
        # told it. A NaN that the optimizer has seen is in its moments for good, and in every checkpoint from then on.
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        self._losses.require_finite(norm, self.state.global_step)  # waits for the device
        self._sums["time/forward_backward_s"] += time.perf_counter() - self._prepared
        return norm

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:  # noqa: ARG002
        """The optimizer that the config names, over the groups of the run."""
        # Hugging Face's makes two groups, with and without decay. Ours have a learning rate for each part of the model.
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer = self._hooks.optimizer(kind, options)
        return self.optimizer

    # ---------------------------------------------------------------- metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002
        """Log what happened since the last time; what Hugging Face's Trainer sums up at the end is left out."""
        # The summary at the end (train_runtime and so on) has no learning rate. Its loss is a mean of sums over parts
        # of steps, which is no number of ours.
        if "learning_rate" not in logs:
            return
        steps = int(self._sums.pop("steps"))
        metrics = dict(self._objective.metrics(self._sums, steps))
        metrics["speed/tokens_per_s"] = metrics["count/tokens"] / metrics["time/step_s"]
        metrics |= {name: logs[name] for name in ("grad_norm", "learning_rate") if name in logs}
        metrics["epoch"] = self._hooks.epoch_of(self.state.global_step)
        metrics["memory/peak_mib"] = peak_mib(self.args.device)
        self._sums.clear()
        self._hooks.log(self.state.global_step, metrics)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Comes behind every optimizer step, and once more at the end, where nothing is left to do."""
        # on_step_end would do but for the order: what a step was is to be summed up before it is logged, evaluated and
        # saved, all of which happens in the call below. At the end of the epoch it is called again, for no step.
        if not self._parts:
            return
        self._close_step()
        if self.state.global_step == self.state.max_steps:  # whatever the intervals are
            self.control.should_log = True
            self.control.should_evaluate = self._hooks.evaluate is not None
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def _close_step(self) -> None:
        now = time.perf_counter()
        assert self._began is not None, "a step begins with its batches"
        names = list(self._parts)
        values = gather_sum(torch.stack([self._parts[name].double() for name in names]))
        self._count({**dict(zip(names, values.tolist(), strict=True)), "steps": 1, "time/step_s": now - self._began})
        self._parts, self._began = {}, now
        self._hooks.advance(self.state.global_step)

    def _count(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] += value

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ARG002
        """Log metrics on validation data; returns the score, if there is one."""
        assert self._hooks.evaluate is not None, "the intervals of evaluation are only set where there is data"
        with self.accelerator.autocast():
            found = self._hooks.evaluate()
        self.last_evaluation = found.metrics
        self._hooks.log(self.state.global_step, found.metrics)
        self._began = None
        return {} if found.score is None else {_SCORE: found.score}

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:  # noqa: ARG002
        """A new best model is saved at once, whatever ``save_steps`` says."""
        # Hugging Face's knows names with the prefix eval_ alone, and does not save what it finds to be best unless a
        # save is due at that step too.
        best = self.state.best_metric
        if _SCORE not in metrics or (best is not None and metrics[_SCORE] <= best):
            return False
        self.state.best_metric, self.state.best_global_step = metrics[_SCORE], self.state.global_step
        self.control.should_save = True
        return True

    # ---------------------------------------------------------------- checkpoints

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # noqa: ARG002
        """Write a checkpoint beside its place and move it there when all ranks are done."""
        # Hugging Face's writes in place: a run that is killed meanwhile leaves a folder that looks whole and cannot be
        # resumed. The order is the point here: all ranks write, the first one names the folder, and only then is an old
        # one deleted, so that at any moment one whole checkpoint is there.
        name = f"{CHECKPOINT}{self.state.global_step}"
        first = self.args.should_save
        staging = open_staging(self._run_dir, name) if first else staging_path(self._run_dir, name)
        wait()
        self._save_optimizer_and_scheduler(str(staging))
        self._save_scaler(str(staging))
        self._save_rng_state(str(staging))
        if first:
            self._hooks.save(staging)
            self.state.save_to_json(str(staging / TRAINER_STATE))
            progress = {
                "sums": self._sums,
                "evaluation": self.last_evaluation,
                "objective": dict(self._objective.state()),
            }
            (staging / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
        wait()
        if first:
            publish(staging)
            rotate(self._run_dir, self.args.save_total_limit, self.best)
        wait()
        self._began = None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:  # noqa: ARG002
        # Hugging Face's looks for the files of a whole model or of peft, and loads neither into a model within a
        # LossModule: it would find no key of its own, warn, and train from the start.
        checkpoint = Path(resume_from_checkpoint)
        self._hooks.load(checkpoint)
        progress = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
        self._sums = defaultdict(float, progress["sums"])
        self.last_evaluation = progress["evaluation"]
        self._objective.restore(progress["objective"])
