"""Training past one machine: what outgrows this process is fitted by a Spark.

Item-item similarity is a formula over co-occurrences, and those are one Ibis expression (`products`), which finds on
every engine what implicit's kernel finds here. ALS is Spark MLlib's. What these two have learnt is numbers of users and
items, and stays here.

MLlib's ALS is not quite implicit's. A tie of strength r has the confidence 1 + alpha r, where implicit gives alpha r.
And its penalty of a user (an item) is in proportion to the number of their ties (Zhou et al. 2008, "Large-scale
parallel collaborative filtering for the Netflix prize"), where implicit's is the same for all: it holds back those who
took much more, and those who took little less. No number makes them equal. The source's penalty is a share of the
confidence of all ties of the mean user and the mean item; MLlib's is IN_PROPORTION times that share of each one's own,
and nights tune it on MLlib's own fits. Spark adds up in the order in which pieces arrive: the same history gives the
same factors to float noise, not to the last bit.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from ibis.backends import BaseBackend

from portraits.engine import is_embedded
from recommender.candidates.als import Als
from recommender.candidates.factors import scaled_factors
from recommender.candidates.protocol import Fit, Source, fit_here
from recommender.candidates.similar import Similar
from recommender.history.dataset import Dataset, Float32

IN_PROPORTION = 4.0
"""The mean holds back mostly those who took little: as much for all takes more. With the source's defaults the two are
then within noise of each other on a gift shop, or MLlib better (a grocery)."""
CHECKPOINTED = 3
"""Iterations after which MLlib writes down where it is."""
WORTH_THE_WAY = 1_000_000_000
"""Products of ties that the kernel here multiplies in some ten seconds, before a Spark has them."""


def fitted_by(con: BaseBackend, folder: Path) -> Fit:
    """How sources are fitted where `con` is the engine: here, or the heavy ones by its Spark. folder: where Spark may
    keep what it is in the middle of, under the same path on all its machines; removed afterwards."""
    return fit_here if is_embedded(con) else partial(_fit_there, con, folder)


def _fit_there(con: BaseBackend, folder: Path, source: Source, dataset: Dataset, seed: int) -> Source:
    if isinstance(source, Similar):
        ties = np.diff(source.matrix(dataset).indptr).astype(np.float64)
        return source.fit(dataset, seed, partial(largest_products, con) if ties @ ties >= WORTH_THE_WAY else None)
    if isinstance(source, Als) and len(dataset.user):
        return _fit_als(con, folder, source, dataset, seed)
    return source.fit(dataset, seed)


def largest_products(con: BaseBackend, matrix: sp.csr_matrix, kept: int) -> sp.coo_matrix:
    """The `kept` largest products of each column of a users x items matrix with its columns, itself among them: [I, I],
    row by row.

    The order is that of float32, ties by the smaller item, so that it does not hang on who added up first.
    """
    found = con.to_pyarrow(products(ibis.memtable(_ties(matrix)), kept).order_by("item", "rank"))
    places = found["item"].to_numpy(), found["other"].to_numpy()
    return sp.coo_matrix((found["product"].to_numpy(), places), shape=(matrix.shape[1], matrix.shape[1]))


def products(ties: ir.Table, kept: int) -> ir.Table:
    """item, other, product (sum of weight x weight over users), rank (0 is best, below `kept`). ties: user, item,
    weight."""
    others = ties.select("user", other="item", other_weight="weight")
    met = ties.inner_join(others, "user").filter(lambda both: both.item <= both.other)
    summed = met.group_by("item", "other").aggregate(product=(met.weight * met.other_weight).sum())
    turned = summed.filter(summed.item < summed.other).select(item="other", other="item", product="product")
    pairs = summed.union(turned)
    best_first = ibis.window(group_by="item", order_by=[pairs["product"].cast("float32").desc(), pairs.other])
    ranked = pairs.mutate(rank=ibis.row_number().over(best_first))
    return ranked.filter(ranked["rank"] < kept)


def _fit_als(con: BaseBackend, folder: Path, source: Als, dataset: Dataset, seed: int) -> Als:
    from pyspark.ml.recommendation import ALS  # noqa: PLC0415 - an extra
    from pyspark.sql import SparkSession  # noqa: PLC0415

    matrix = source.matrix(dataset)
    session = SparkSession.active()
    blocks = session.sparkContext.defaultParallelism
    session.sparkContext.setCheckpointDir(str(folder))  # how everything came to be grows with each turn, and must end
    penalty = IN_PROPORTION * source.penalty * source.alpha * float(matrix.data.mean())
    als = ALS(
        rank=scaled_factors(matrix.nnz, source.factors),
        maxIter=source.iterations,
        regParam=penalty,
        alpha=source.alpha,
        implicitPrefs=True,
        userCol="user",
        itemCol="item",
        ratingCol="weight",
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        checkpointInterval=CHECKPOINTED,
        seed=seed,
    )
    model = als.fit(session.createDataFrame(_ties(matrix)))
    users, items = (
        _factors(con, frame, rows, als.getRank())
        for frame, rows in zip((model.userFactors, model.itemFactors), matrix.shape, strict=True)
    )
    shutil.rmtree(folder, ignore_errors=True)
    source.regularization_ = penalty * matrix.nnz / max(np.count_nonzero(np.diff(matrix.indptr)), 1)
    return source.keep(matrix, users, items)


def _factors(con: BaseBackend, frame: Any, rows: int, rank: int) -> Float32:
    """float32[rows, rank] of MLlib's (id, features), 0 for whom it does not know."""
    name = ibis.util.gen_name("factors")
    frame.createOrReplaceTempView(name)
    found = con.table(name).to_pyarrow()
    con.drop_view(name)
    factors = np.zeros((rows, rank), np.float32)
    flat = pc.list_flatten(found["features"].combine_chunks()).to_numpy(zero_copy_only=False)
    factors[found["id"].to_numpy()] = flat.reshape(-1, rank)
    return factors


def _ties(matrix: sp.csr_matrix) -> pa.Table:
    """user, item, weight: the entries of a users x items matrix."""
    user: npt.NDArray[np.int32] = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    return pa.table({"user": user, "item": matrix.indices.astype(np.int32), "weight": matrix.data})
