"""What the processes of a run tell each other. With one process nothing is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import torch
from torch import distributed as dist

from coordspec.errors import CoordspecError

_RANK, _WORLD = "RANK", "WORLD_SIZE"  # what torchrun sets
FIRST: Final = 0
T = TypeVar("T")


class RankError(CoordspecError):
    """Another rank of the run failed; the message is that of its error."""


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get(_RANK, "0"))


def world() -> int:
    """The number of processes."""
    return int(os.environ.get(_WORLD, "1"))


def connected() -> bool:
    """True where there is more than one process, and they have met."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def agree() -> Iterator[None]:
    """A stretch of work that every rank does; if one of them fails in it, all of them stop behind it.

    Raises:
        CoordspecError: the error of this rank.
        RankError: another rank failed.
    """
    error: CoordspecError | None = None
    try:
        yield
    except CoordspecError as caught:
        error = caught
    messages = gather(None if error is None else str(error))
    if error is not None:
        raise error
    failed = [f"rank {number}: {message}" for number, message in enumerate(messages) if message is not None]
    if failed:
        raise RankError("\n".join(failed))


def gather(value: T) -> list[T]:
    """A value of every rank, in their order, on every rank; it is pickled."""
    if not connected():
        return [value]
    values: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def gather_sum(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all ranks, on every rank; the argument stays as it is."""
    total = values.clone()
    if connected():
        dist.all_reduce(total)
    return total


def wait() -> None:
    """Until every rank is here."""
    if connected():
        dist.barrier()


def leave() -> None:
    """Part from the other ranks, at the end of a run."""
    if connected():
        dist.destroy_process_group()
