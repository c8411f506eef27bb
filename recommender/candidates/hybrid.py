"""Factorisation with features: what a portrait or a catalogue row says about whom or what nobody has met yet.

LightFM with the WARP loss (Kula 2015, "Metadata embeddings for user and item cold-start recommendations"; Weston et
al. 2011). One thread, so that the same seed gives the same model. Scores come from the factors by a dot product; the
library's own predict is slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from lightfm import LightFM

from recommender.candidates.factors import FactorSource, in_company, scaled_factors
from recommender.history.dataset import Dataset, Mask

FEATURE_WEIGHT = 0.5
"""All features of a row together, beside the 1 of who it is: with equal shares a dozen features drown the identity."""


@dataclass
class Hybrid(FactorSource):
    """WARP on all ties with identity, portrait and catalogue features.

    A user or item without a tie is described by its features alone; without features either there is no opinion.
    samples: the most gradient steps of a fit; the epochs follow from the ties.
    """

    name: ClassVar[str] = "hybrid"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "factors": (16, 32, 64, 128),
        "learning_rate": (0.02, 0.05),
        "epochs": (10, 20, 40),
    }
    factors: int = 32
    learning_rate: float = 0.05
    epochs: int = 20
    samples: int = 20_000_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(), dataset.user_features, dataset.facts.item_features(), seed)

    def fit_matrix(
        self,
        matrix: sp.csr_matrix,
        user_features: sp.csr_matrix | None,
        item_features: sp.csr_matrix | None,
        seed: int,
    ) -> Self:
        """Learn from users x items ties and the features beside them."""
        met_users, met_items = np.diff(matrix.indptr) > 0, matrix.getnnz(axis=0) > 0
        users, items = with_identity(met_users, user_features), with_identity(met_items, item_features)
        told = user_features is not None or item_features is not None
        self.known_users_ = np.diff(users.indptr) > 0 if told else in_company(matrix)
        self.known_items_ = np.diff(items.indptr) > 0
        model = self.model(matrix.nnz, seed)
        if matrix.nnz:
            ties = sp.coo_matrix((np.ones(matrix.nnz, np.float32), matrix.nonzero()), shape=matrix.shape)
            model.fit(ties, user_features=users, item_features=items, epochs=self.passes(matrix.nnz), num_threads=1)
            biases, vectors = model.get_user_representations(users)
            self.user_factors_ = np.column_stack([vectors, np.ones_like(biases), biases])
            biases, vectors = model.get_item_representations(items)
            self.item_factors_ = np.column_stack([vectors, biases, np.ones_like(biases)])
        else:
            self.user_factors_ = np.zeros((matrix.shape[0], 2), np.float32)
            self.item_factors_ = np.zeros((matrix.shape[1], 2), np.float32)
        return self

    def passes(self, ties: int) -> int:
        """Epochs for so many ties."""
        return int(np.clip(self.samples // max(ties, 1), 1, self.epochs))

    def model(self, ties: int, seed: int) -> LightFM:
        """The library's model for so many ties."""
        return LightFM(
            no_components=scaled_factors(ties, self.factors),
            loss="warp",
            learning_rate=self.learning_rate,
            random_state=seed,
        )


def with_identity(met: Mask, features: sp.csr_matrix | None) -> sp.csr_matrix:
    """One indicator column for each row that was met, beside its features, which together weigh FEATURE_WEIGHT."""
    identity = sp.diags(met.astype(np.float32), format="csr")
    identity.eliminate_zeros()
    if features is None:
        return identity
    total = np.asarray(features.sum(axis=1)).ravel()
    scale = np.divide(FEATURE_WEIGHT, total, out=np.zeros_like(total), where=total > 0)
    return sp.hstack([identity, sp.diags(scale, format="csr") @ features], format="csr", dtype=np.float32)
