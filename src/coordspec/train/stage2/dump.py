"""Targets as they were trained on, in files that ``coordspec mask`` and ``coordspec guard`` read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coordspec.errors import InputError
from coordspec.ranks import rank, world
from coordspec.rollout.tokens import TokenTable
from coordspec.target.dump import target_to_json
from coordspec.train.stage2.rollouts import Built


class TargetDump:
    """One file for each optimizer step and rank; a step that a resumed run does again replaces its file."""

    def __init__(self, folder: Path, table: TokenTable, *, resume: bool) -> None:
        """
        Raises:
            InputError: the folder is a file, or holds something and nothing is resumed.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file; name a folder for the dumped targets")
        if not resume and folder.exists() and any(folder.iterdir()):
            raise InputError(str(folder), "is not empty; name another folder for the dumped targets")
        self._folder = folder
        self._table = table

    def write(self, built: Sequence[Built], step: int) -> None:
        """The targets of this rank in a step; steps count from 0, and the names of files from 1, as logs do.

        Raises:
            InputError: the file cannot be written.
        """
        ranks = f".rank{rank()}" if world() > 1 else ""
        lines = [
            target_to_json(str(one.task.record.place), one.target, one.task.record, self._table, one.rollout_ids)
            for one in built
        ]
        path = self._folder / f"step-{step + 1:06}{ranks}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise InputError(str(path), error.strerror or str(error)) from error
