"""Hugging Face's Trainer, adapted once: its loop, optimizers and schedules around the steps of an ``Objective``.

What is ours: where batches come from, what a step counts, what is logged, and how checkpoints are written.
"""

from __future__ import annotations

import json
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

from coordspec.errors import CoordspecError
from coordspec.train.checkpoints import PREFIX, STAGING, open_staging, publish, rotate
from coordspec.train.memory import peak_mib
from coordspec.train.objective import LossModule, Objective, Prepared, StepLoss
from coordspec.train.ranks import agree, gather_sum, wait, world

TRAINER_STATE: Final = "trainer_state.json"
_SCORE: Final = "score"
WINDOW: Final = "metrics_window.json"
"""File of a checkpoint: the sums of the metrics since they were logged last."""


class NonFiniteError(CoordspecError):
    """A loss or a gradient is no number; the message names the samples."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run does at the trainer's word.

    save      write the weights, and all that belongs to them, into a folder
    load      read the weights back from a folder
    log       take the metrics of an optimizer step
    advance   take notice that a step is done
    groups    the groups of weights for the optimizer
    pace      give rows of a matrix a rate of their own in it
    epoch_of  how often the data has been gone through after a step
    evaluate  metrics on validation data, and the score that the best checkpoint is chosen by, larger being better
    """

    save: Callable[[Path], None]
    load: Callable[[Path], None]
    log: Callable[[int, Mapping[str, float]], None]
    advance: Callable[[int], None]
    groups: Callable[[], list[dict[str, Any]]]
    pace: Callable[[torch.optim.Optimizer], None]
    epoch_of: Callable[[int], float]
    evaluate: Callable[[], tuple[Mapping[str, float], float | None]]


class CoordTrainer(Trainer):
    """Trains a ``LossModule`` on the prepared batches of its objective."""

    loss_is_scaled_for_ga = True  # a batch's loss is divided by the counts of the whole step

    def __init__(
        self, model: nn.Module, args: TrainingArguments, loader: DataLoader[Any], objective: Objective, hooks: Hooks
    ) -> None:
        # evaluation is ours, so its data set is only looked at for being there
        module = LossModule(model, objective)
        super().__init__(model=module, args=args, train_dataset=loader.dataset, eval_dataset=loader.dataset)
        self.remove_callback(PrinterCallback)
        self._loader = loader
        self._objective = objective
        self._hooks = hooks
        self._sums: defaultdict[str, float] = defaultdict(float)  # of the metrics since they were logged last
        self._parts: dict[str, torch.Tensor] = {}  # of the step that is running
        self._prepared: list[Prepared] = []
        self._began: float | None = None  # when the step that is running began

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
        waiting = time.perf_counter()
        self._began = self._began or waiting
        with agree():
            loaded = [next(epoch_iterator) for _ in range(num_batches)]
            waited = time.perf_counter() - waiting
            self._prepared = self._objective.prepare(loaded, self.state.global_step)
        self._sums["time/data_s"] += waited
        counts_C = gather_sum(torch.stack([prepared.counts_C for prepared in self._prepared]).sum(0).to(device))
        self._count(dict(zip(self._objective.counts, counts_C.tolist(), strict=True)))
        return self._prepared, counts_C

    def _prepare_inputs(self, inputs: Prepared) -> Prepared:  # type: ignore[override]  # no dict of tensors
        return inputs.to(self.args.device)

    def floating_point_ops(self, inputs: Prepared) -> int:  # noqa: ARG002
        """Not counted."""
        return 0

    def compute_loss(  # type: ignore[override]  # no dict of tensors
        self,
        model: nn.Module,
        inputs: Prepared,
        return_outputs: bool = False,  # noqa: ARG002 (Hugging Face's signature)
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss of one batch, times the number of ranks, since gradients are averaged over them.

        Raises:
            NonFiniteError: it is no number.
        """
        assert num_items_in_batch is not None, "evaluation does not come this way"
        result: StepLoss = model(inputs.batch, num_items_in_batch)
        with agree():
            if not torch.isfinite(result.loss):
                raise NonFiniteError(self._blame("the loss", [inputs]))
        for name, value in result.parts.items():
            self._parts[name] = self._parts[name] + value if name in self._parts else value
        return result.loss * world()

    def _clip_grad_norm(self, model: nn.Module) -> torch.Tensor | float | None:
        """
        Raises:
            NonFiniteError: the gradient's norm is no number, on all ranks alike.
        """
        norm: torch.Tensor | float | None = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise NonFiniteError(self._blame("the gradient", self._prepared))
        return norm

    def _blame(self, what: str, batches: list[Prepared]) -> str:
        places = ", ".join(str(place) for prepared in batches for place in prepared.places)
        step = self.state.global_step + 1
        return f"{what} of step {step} is not finite, so nothing was learnt from it; its samples are {places}"

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:  # noqa: ARG002
        """The optimizer that the config names, over the groups of the run."""
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer = kind(self._hooks.groups(), **options)
            self._hooks.pace(self.optimizer)
        return self.optimizer

    # ---------------------------------------------------------------- metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002
        """Log the means since the last time; what Hugging Face's Trainer sums up at the end is left out."""
        if "learning_rate" not in logs:
            return
        steps = self._sums.pop("steps")
        means = {name: total / steps for name, total in self._sums.items()}
        means["speed/tokens_per_s"] = means["count/tokens"] / means["time/step_s"]
        means |= {name: logs[name] for name in ("grad_norm", "learning_rate") if name in logs}
        means["epoch"] = self._hooks.epoch_of(self.state.global_step)
        means["memory/peak_mib"] = peak_mib(self.args.device)
        self._sums.clear()
        self._hooks.log(self.state.global_step, means)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Comes behind every optimizer step, and once more at the end, where nothing is left to do."""
        if self._parts:
            self._close_step()
            super()._maybe_log_save_evaluate(*args, **kwargs)

    def _close_step(self) -> None:
        now = time.perf_counter()
        assert self._began is not None, "a step begins with its batches"
        names = list(self._parts)
        values = gather_sum(torch.stack([self._parts[name].double() for name in names]))
        parts = dict(zip(names, values.tolist(), strict=True))
        self._count({"loss": self._objective.total(parts), **parts, "steps": 1, "time/step_s": now - self._began})
        self._parts, self._began = {}, now
        self._hooks.advance(self.state.global_step)

    def _count(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] += value

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ARG002
        """Log metrics on validation data; returns the score, if there is one."""
        metrics, score = self._hooks.evaluate()
        self._hooks.log(self.state.global_step, metrics)
        self._began = None
        return {} if score is None else {_SCORE: score}

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:  # noqa: ARG002
        """A new best model is saved at once, whatever ``save_steps`` says."""
        best = self.state.best_metric
        if _SCORE not in metrics or (best is not None and metrics[_SCORE] <= best):
            return False
        self.state.best_metric, self.state.best_global_step = metrics[_SCORE], self.state.global_step
        self.control.should_save = True
        return True

    # ---------------------------------------------------------------- checkpoints

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # noqa: ARG002
        """Write a checkpoint beside its place and move it there when all ranks are done."""
        run_dir = Path(self.args.output_dir)
        name = f"{PREFIX}{self.state.global_step}"
        first = self.args.should_save
        staging = open_staging(run_dir, name) if first else run_dir / f"{STAGING}{name}"
        wait()
        self._save_optimizer_and_scheduler(str(staging))
        self._save_scaler(str(staging))
        self._save_rng_state(str(staging))
        if first:
            self._hooks.save(staging)
            if self.state.best_global_step is not None:
                self.state.best_model_checkpoint = str(run_dir / f"{PREFIX}{self.state.best_global_step}")
            self.state.save_to_json(str(staging / TRAINER_STATE))
            (staging / WINDOW).write_text(json.dumps(self._sums), encoding="utf-8")
        wait()
        if first:
            publish(staging)
            best = self.state.best_model_checkpoint
            rotate(run_dir, self.args.save_total_limit, Path(best) if best else None)
        wait()
        self._began = None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:  # noqa: ARG002
        checkpoint = Path(resume_from_checkpoint)
        self._hooks.load(checkpoint)
        self._sums = defaultdict(float, json.loads((checkpoint / WINDOW).read_text(encoding="utf-8")))
