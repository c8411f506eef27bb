"""A segment cut to the size that a budget pays for: by lot, or by a score."""

from __future__ import annotations

import hashlib

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from portraits.errors import InvalidValue, UnknownName


def by_lot(user_ids: pa.ChunkedArray, n: int, seed: int = 0) -> pa.ChunkedArray:
    """`n` of the visitors (all, where there are fewer), by a lot that depends on the visitor and the seed alone.

    So a visitor who is drawn today is drawn tomorrow as long as the segment does not grow past the lots below, and the
    same lots come out on every machine: those are keyed hashes (BLAKE2b), not numbers of an engine.
    """
    check_size(n)
    key = str(seed).encode()
    lots = np.fromiter(
        (int.from_bytes(_lot(user, key)) for user in user_ids.to_pylist()), np.uint64, count=len(user_ids)
    )
    drawn = np.sort(np.argsort(lots, kind="stable")[:n])
    return user_ids.take(pa.array(drawn))


def by_score(people: ir.Table, score: str, n: int) -> ir.Table:
    """The `n` rows with the greatest `score`, a column of numbers; equals by user_id, unknown ones last."""
    check_size(n)
    if score not in people.columns or not people[score].type().is_numeric():
        numbers = [name for name, kind in people.schema().items() if kind.is_numeric()]
        raise UnknownName("score", score, numbers)
    known = people[score].notnull()
    return people.order_by([known.desc(), people[score].desc(), people.user_id.asc()]).limit(n)


def check_size(n: int) -> int:
    """`n` itself. Raises InvalidValue unless it is at least 1."""
    if n < 1:
        raise InvalidValue("cap", n, "a number of visitors, 1 or more")
    return n


def _lot(user_id: str, key: bytes) -> bytes:
    return hashlib.blake2b(user_id.encode(), digest_size=8, key=key).digest()
