"""Interactions that were taken back, and when: ties no more, but ties before that moment.

Which these are is said in `recommender.history.taken_back`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

NEVER = np.iinfo(np.int64).max


class Undone(NamedTuple):
    """Interactions that were taken back: columns as of `Dataset`, and when that was (back_us: int64[N])."""

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    ts_us: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    back_us: npt.NDArray[np.int64]

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Undone:
        """Some of them: a mask, or row numbers in the order wanted."""
        user, item, ts_us, kind, back_us = self
        return Undone(user[chosen], item[chosen], ts_us[chosen], kind[chosen], back_us[chosen])
