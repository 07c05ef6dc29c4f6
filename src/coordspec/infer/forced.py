"""What a checkpoint makes of the ground truth under teacher forcing: losses, distributions at coordinates.

C coordinate slots · K bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS
from coordspec.errors import Place
from coordspec.evaluate.calibration import MASSES
from coordspec.infer.checkpoint import Checkpoint
from coordspec.losses.fused import CoordScores, HeadLoss, head_loss
from coordspec.losses.rows import CeRows, CoordRows, Supervised, ids_of, supervised_rows
from coordspec.losses.stage1 import BASE_CE, BIN_ERROR, GATE, HARD_CE, SOFT_CE, VOCAB_MASS, W1
from coordspec.model.checkpoint import head_weight
from coordspec.model.forward import hidden_states
from coordspec.predictions.coord_stats import coord_stats
from coordspec.samples.batch import collate
from coordspec.samples.dataset import Samples

# ---------------------------------------------------------------- distributions over the bins


Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MODE_SHARE: Final = 0.1
"""Share of the largest value that a local maximum has at least, to count as a mode."""
_FLAT: Final = 1e-12
"""Steps of a smaller share of the largest value are rounding, and no rise or fall."""
_TEMPERATURES: Final = tuple(10 ** (step / 20 - 1) for step in range(41))
"""Those that are tried, from 0.1 to 10."""


class Smoother:
    """Convolves distributions with a Gaussian; beyond the first and the last bin there is nothing."""

    def __init__(self, target_sigma: float) -> None:
        """``target_sigma`` is its standard deviation in bins."""
        bins_K = np.arange(BINS)
        kernel_KK = np.exp(-0.5 * ((bins_K[:, None] - bins_K) / target_sigma) ** 2)
        self._kernel_KK = kernel_KK / kernel_KK[BINS // 2].sum()

    def smooth(self, p_CK: Floats) -> Floats:
        smoothed_CK: Floats = p_CK @ self._kernel_KK
        return smoothed_CK


def modes(values_CK: Floats) -> npt.NDArray[np.int64]:
    """How many local maxima each row has among the bins with at least ``MODE_SHARE`` of its largest value, ``[C]``.

    A plateau is one. The first and the last bin can be one.
    """
    high_C1 = values_CK.max(axis=1, keepdims=True)
    step_CK = np.diff(values_CK, axis=1)
    sign_CK = np.where(np.abs(step_CK) <= _FLAT * high_C1, 0.0, np.sign(step_CK))
    edge_C1 = np.ones_like(high_C1)
    sign_CK = np.hstack([edge_C1, sign_CK, -edge_C1])  # it rises to the first bin and falls from the last
    last_CK = np.maximum.accumulate(np.where(sign_CK != 0, np.arange(sign_CK.shape[1]), 0), axis=1)
    rising_CK = np.take_along_axis(sign_CK, last_CK, axis=1) > 0  # flat steps go on as the one before them
    top_CK = rising_CK[:, :-1] & ~rising_CK[:, 1:]
    counts: npt.NDArray[np.int64] = (top_CK & (values_CK >= MODE_SHARE * high_C1)).sum(axis=1)
    return counts


def covered(p_CK: Floats, bins_C: npt.NDArray[np.int64]) -> dict[float, Bools]:
    """For each mass of ``MASSES`` whether the bin lies within the central interval of that mass, ends included.

    The ends are the quantiles of ``coord_stats``.
    """
    quantiles_CL = np.array(coord_stats(p_CK).quantiles, dtype=np.int64).reshape(len(bins_C), -1)
    return {mass: (quantiles_CL[:, i] <= bins_C) & (bins_C <= quantiles_CL[:, -1 - i]) for i, mass in enumerate(MASSES)}


class BestTemperature:
    """Finds the temperature at which the mean of ``-log softmax(z / T)[bin]`` is smallest, from slots as they come."""

    def __init__(self) -> None:
        self._sums = np.zeros(len(_TEMPERATURES))
        self._slots = 0

    def add(self, logits_CK: torch.Tensor, bins_C: torch.Tensor) -> None:
        """Take the logits of further slots and the bins of the ground truth."""
        at_C = logits_CK.gather(1, bins_C[:, None])[:, 0]
        for i, temperature in enumerate(_TEMPERATURES):
            self._sums[i] += float(((logits_CK / temperature).logsumexp(1) - at_C / temperature).sum())
        self._slots += len(bins_C)

    def result(self) -> tuple[float, float]:
        """The temperature, and the mean at the nearest one that was tried, which is hardly larger.

        Between those that are tried a parabola over their logarithms leads to it. At the first or last of them, the
        best one lies there or beyond.
        """
        best = int(self._sums.argmin())
        means = self._sums / self._slots
        if best in (0, len(means) - 1):
            return _TEMPERATURES[best], float(means[best])
        left, middle, right = means[best - 1 : best + 2].tolist()
        curvature = left - 2 * middle + right
        shift = (left - right) / (2 * curvature) if curvature > 0 else 0.0
        return _TEMPERATURES[best] * (_TEMPERATURES[1] / _TEMPERATURES[0]) ** shift, middle


# ---------------------------------------------------------------- losses and logits


@dataclass(frozen=True, slots=True)
class Forced:
    """One record under teacher forcing.

    ``sums`` are the parts of the loss by their names in the log of a run, each a sum over ``base`` targets that are no
    coordinates or over ``coords`` slots. ``logits_CK`` are the logits of the bins at every slot, ``bins_C`` the bins of
    the ground truth.
    """

    place: Place
    base: int
    coords: int
    sums: Mapping[str, float]
    logits_CK: torch.Tensor
    bins_C: torch.Tensor


def forced(checkpoint: Checkpoint, samples: Samples, loss: CoordSoftCeW1, batch_size: int) -> Iterator[Forced]:
    """Every sample under teacher forcing, in their order. Logits over the vocabulary are made a few rows at a time.

    Raises:
        ContractError: a record, an image or its length is refused.
    """
    model, vocab = checkpoint.model, checkpoint.table.coords
    head_VD = head_weight(model)
    ids_K = ids_of(vocab, len(head_VD), checkpoint.device)
    for start in range(0, len(samples), batch_size):
        numbers = range(start, min(start + batch_size, len(samples)))
        batch = collate([[samples[number]] for number in numbers], checkpoint.table.end_id).to(checkpoint.device)
        with torch.no_grad():
            rows = supervised_rows(batch.labels_BT.flatten(), len(head_VD), vocab)
            found = head_loss(
                hidden_states(model, batch),
                head_VD,
                ce=CeRows(rows.rows_N, rows.targets_N, torch.ones(len(rows.rows_N), device=checkpoint.device), 1.0),
                coord=CoordRows(rows.coord_rows_M, rows.bins_M, 1.0),
                slots_S=rows.coord_rows_M,
                ids_K=ids_K,
                spec=loss,
                measure_gate=True,
            )
        length = batch.ids_BT.shape[1]
        for row, span in enumerate(batch.spans):
            yield _of_row(row, length, span.place, rows, found)


def _of_row(row: int, length: int, place: Place, rows: Supervised, found: HeadLoss) -> Forced:
    """The share of one row of a batch, in which every row is one sample."""
    base_N, coord_M = rows.rows_N // length == row, rows.coord_rows_M // length == row
    scores: CoordScores = found.coord
    assert scores.gate_M is not None, "the gate was measured"
    terms = {
        SOFT_CE: scores.soft_ce_M,
        W1: scores.w1_M,
        HARD_CE: scores.hard_ce_M,
        GATE: scores.gate_M,
        VOCAB_MASS: scores.gate_M.neg().exp(),
        BIN_ERROR: scores.bin_error_M,
    }
    sums = {BASE_CE: float(found.ce_N[base_N].double().sum())}
    sums |= {name: float(term_M[coord_M].double().sum()) for name, term_M in terms.items()}
    return Forced(
        place,
        int(base_N.sum()),
        int(coord_M.sum()),
        sums,
        found.coord_logits_SK[coord_M].double().cpu(),
        rows.bins_M[coord_M].cpu(),
    )
