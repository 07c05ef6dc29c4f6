"""Training runs in processes of their own, which can be killed and can have ranks: a script for the tests.

    python tests/training_jobs.py JOBS.json

Every job is ``{"config": PATH, "resume": bool, "ranks": N, "die": null | [WHERE, STEP], "gradients": null | PATH,
"texts": null | {NUMBER: TEXT}, "dump": null | FOLDER, "spoil": null | LINE}``; the last three are rollouts that are
told instead of written, a folder for targets, and the line of a record whose target is broken. Its processes are forked
from this one, which has imported everything and computed nothing. Printed is a list with, for each job and rank,
``[status, signal, message]``.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from coordspec.config.check import CheckOptions, check_config
from coordspec.config.show import show_yaml
from coordspec.errors import CoordspecError
from coordspec.train import run as run_module
from coordspec.train import trainer
from coordspec.train.stage2 import rollouts
from limits import HANG_S
from stage2_samples import Writes
from training_runs import SILENT


def main(path: str) -> None:
    jobs = json.loads(Path(path).read_text("utf-8"))
    sys.stdout.write(json.dumps([launch(job) for job in jobs]) + "\n")


def launch(job: dict[str, Any]) -> list[tuple[int, int, str]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        messages = [Path(folder) / str(rank) for rank in range(job["ranks"])]
        children = [fork(job, rank, port, messages[rank]) for rank in range(job["ranks"])]
        found = wait(children)
        return [
            (os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 0, os.WTERMSIG(status), text(message))
            for status, message in zip(found, messages, strict=True)
        ]


def free_port() -> int:
    """A port below those that the system gives to whoever asks for any, and so to another job before rank 0 has it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def wait(children: list[int]) -> list[int]:
    """The statuses of all. Where ranks wait for each other for ever, what each was at stands in its message."""
    end, found = time.monotonic() + HANG_S, dict[int, int]()
    while len(found) < len(children) and time.monotonic() < end:
        for child in set(children) - set(found):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                found[child] = status
        time.sleep(0.05)
    for child in set(children) - set(found):
        os.kill(child, signal.SIGUSR1)
        time.sleep(1)
        os.kill(child, signal.SIGKILL)
        found[child] = os.waitpid(child, 0)[1]
    return [found[child] for child in children]


def fork(job: dict[str, Any], rank: int, port: int, message: Path) -> int:
    child = os.fork()
    if child:
        return child
    if job["ranks"] > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(job["ranks"]),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    status = 70
    faulthandler.register(signal.SIGUSR1, message.open("w", encoding="utf-8"))
    try:
        status = train(job, message)
    except BaseException:
        message.write_text(traceback.format_exc(), "utf-8")
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def train(job: dict[str, Any], message: Path) -> int:
    checked = check_config(job["config"], CheckOptions(records=False))
    assert checked.config is not None
    if job["die"] is not None:
        die(*job["die"])
    if job["gradients"] is not None:
        record_gradients(Path(job["gradients"]))
    if job["texts"] is not None:
        tell(job["texts"])
    if job["spoil"] is not None:
        spoil(job["spoil"])
    part_alone()
    dump = None if job["dump"] is None else Path(job["dump"])
    resolved = show_yaml(checked.config, checked.resolved)
    try:
        run_module.train(checked.config, resolved, SILENT, resume=job["resume"], dump_targets=dump)
    except CoordspecError as error:
        message.write_text(f"{type(error).__name__}: {error}", "utf-8")
        return 1
    return 0


def die(where: str, step: int) -> None:
    """Kill this process at a place of the code, in or behind an optimizer step."""
    owner, name = {
        "behind the step": (trainer.CoordTrainer, "_maybe_log_save_evaluate"),
        "between weights and state": (run_module, "write_origin"),
        "before the checkpoint has its name": (trainer, "publish"),
        "before the old checkpoint is deleted": (trainer, "rotate"),
        "before the final model has its name": (run_module, "publish"),
    }[where]
    kept = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if STEPS[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept(*args, **kwargs)

    setattr(owner, name, deadly)
    count = trainer.CoordTrainer._close_step

    def counted(self: Any) -> None:
        count(self)
        STEPS[0] = self.state.global_step

    trainer.CoordTrainer._close_step = counted  # type: ignore[method-assign]


STEPS = [0]
"""The last optimizer step of this process."""


def part_alone() -> None:
    """Have the ranks refuse to part while a model is still wrapped for them: that hangs once in a while."""
    kept = run_module.leave

    def checked() -> None:
        wrapped = [item for item in gc.get_objects() if isinstance(item, DistributedDataParallel)]
        assert not wrapped, "the trainer outlives the process group"
        kept()

    run_module.leave = checked


def tell(texts: dict[str, str]) -> None:
    """Have rollouts be these texts, by the numbers of the samples."""
    told = {int(number): text for number, text in texts.items()}
    run_module._generator = lambda *_: Writes(told)  # type: ignore[assignment]


def spoil(line: int) -> None:
    """Have every token of the target for a line be supervised, and the guard see it."""
    kept = rollouts.require_sound

    def spoilt(target: Any, *args: Any, place: Any) -> None:
        if place.line == line:
            target = replace(target, ce_weight=(1.0,) * len(target.ids))
        kept(target, *args, place=place)

    rollouts.require_sound = spoilt


def record_gradients(path: Path) -> None:
    """Save the gradient of every weight in the first step, by name."""
    kept = trainer.CoordTrainer._get_grad_norm

    def recorded(self: Any, model: Any, grad_norm: Any = None) -> Any:
        norm = kept(self, model, grad_norm)
        if not path.exists():
            named = self.model.named_parameters()
            torch.save({name: weight.grad.clone() for name, weight in named if weight.grad is not None}, path)
        return norm

    trainer.CoordTrainer._get_grad_norm = recorded  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
