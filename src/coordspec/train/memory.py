"""How much memory a run has taken."""

from __future__ import annotations

import resource
import sys

import torch

_MIB = 1 << 20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux, bytes on macOS


def peak_mib(device: torch.device) -> float:
    """Peak memory so far in MiB: on a GPU what PyTorch has reserved there, else what the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / _MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / _MIB
