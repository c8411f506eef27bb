"""What is taken in a store, by an entrance, at an hour and after an article, beside what is taken everywhere.

A list for one occasion rests on few visitors, so each is pulled towards what everybody takes (empirical Bayes): with
n_ci the weight of what visitors took of item i on occasion c, N_c its sum and p_i the share of i among everybody,

    share(c, i) = (n_ci + k * p_i) / (N_c + k)

One k holds for all lists of a kind. It is the one by which half of the visitors foretell best what the other half took
on the same occasions; a kind that foretells no better than what everybody takes gets no lists, so nobody has to say
whether hours matter in this shop. How much better (nats an act) is the kind's weight.

What an item owes to the occasion and not to being popular is what the reason may name: its own count is the larger part
of its share, and it comes from FEWEST_VISITORS or more. Anything else on a list is popular with everybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portraits.local import DAY_US, hour_of_day
from portraits.past import Past
from portraits.sessions import SILENCE_US
from recommender.answers.occasions import DEFAULT_PLATFORM, Listed
from recommender.history.dataset import Dataset, Ids, as_ids
from recommender.history.kinds import KINDS as ACTS
from recommender.history.taken_back import TAKEN_BACK, with_backs

KINDS = ("store", "scene", "hour", "readers")
WINDOW_DAYS = 120
HALF_LIFE_DAYS = 30.0
FEWEST_TAKEN = 30
"""Different visitors' items that a list rests on, at least."""
FEWEST_VISITORS = 3
KEPT = 200
LEAST_GAIN = 0.001
"""Nats an act below which a kind of occasion tells nothing: ten times what the best k finds where nothing is."""
PULLS = tuple(float(k) for k in np.geomspace(1.0, 10_000.0, 13))
NANO = 1_000_000_000
EVERYBODY = ""

Float64 = npt.NDArray[np.float64]


class Counts(NamedTuple):
    """Sparse counts of some lists: row (of `keys`), item, weight by half of the visitors [2, N], visitors."""

    keys: Ids
    row: npt.NDArray[np.intp]
    item: npt.NDArray[np.intp]
    weight: Float64
    visitors: npt.NDArray[np.int64]


def takings(past: Past, strength: Mapping[str, float], until_us: int) -> ir.Table:
    """One row a key, item and half of the visitors (0 or 1): key, item_id, half, visitors, nano (the sum of what each
    visitor's strongest act is worth, in billionths).

    Key "" is everybody. `strength`: what an act of each type is worth; `until_us`: acts are worth half as much every
    HALF_LIFE_DAYS before it, and nothing before WINDOW_DAYS.
    """
    events = past.events
    since = until_us - WINDOW_DAYS * DAY_US
    lately = events.filter((events.ts_us >= since) & (events.ts_us < until_us))
    undone = with_backs(events, tuple(TAKEN_BACK))
    undone = undone.filter(undone.back_us.notnull())
    acts = lately.filter(lately.own & lately.item_id.notnull() & lately.type.isin(list(strength)))
    acts = acts.anti_join(undone, ["user_id", "item_id", "ts_us", "type"])
    decay = ibis.literal(0.5) ** ((until_us - acts.ts_us) / (HALF_LIFE_DAYS * DAY_US))
    worth = acts.type.cases(*strength.items(), else_=0.0)
    acts = acts.select(
        "user_id",
        "item_id",
        "ts_us",
        "store_id",
        "scene",
        platform=acts.platform.fill_null(DEFAULT_PLATFORM),
        hour=hour_of_day(past.zone.local_us(acts.ts_us)),
        nano=(worth * decay * NANO).round().cast("int64"),
    ).cache()
    people = acts.select("user_id").distinct()
    people = people.select(person="user_id", number=ibis.row_number().over(order_by=people.user_id))
    acts = acts.inner_join(people, acts.user_id == people.person).drop("person")
    return ibis.union(*(_halved(prefix, keyed) for prefix, keyed in _keyed(acts, _read(lately))))


def _read(events: ir.Table) -> ir.Table:
    """reader, content_id, read_us: articles that were opened."""
    opened = events.filter((events.type == "content_view") & events.content_id.notnull())
    return opened.select(reader="user_id", content_id="content_id", read_us="ts_us").distinct()


def _keyed(acts: ir.Table, read: ir.Table) -> Iterator[tuple[str, ir.Table]]:
    """The acts (key, number, item_id, nano) of everybody, and of each kind of list that they belong to, with what
    their keys begin with. An hour takes in its neighbours."""
    columns = ("number", "item_id", "nano")
    within = [acts.user_id == read.reader, acts.ts_us > read.read_us, acts.ts_us <= read.read_us + SILENCE_US]
    yield "readers:", acts.inner_join(read, within).select(*columns, key="content_id")
    by = ("number", "item_id", "store_id", "platform", "scene", "hour")
    acts = acts.group_by(*by).aggregate(nano=acts.nano.max()).cache()  # read six times
    yield EVERYBODY, acts.select(*columns, key=ibis.literal(""))
    yield "store:", acts.filter(acts.store_id.notnull()).select(*columns, key="store_id")
    scenes = acts.filter(acts.scene.notnull())
    yield "scene:", scenes.select(*columns, key=scenes.platform + ":" + scenes.scene)
    yield "hour:", ibis.union(*(acts.select(*columns, key=(acts.hour + shift) % 24) for shift in (23, 0, 1)))


def _halved(prefix: str, keyed: ir.Table) -> ir.Table:
    """Each visitor's strongest act with an item under a key, added up: see `takings`."""
    strongest = keyed.group_by("key", "number", "item_id").aggregate(nano=keyed.nano.max())
    half = (strongest.number % 2).cast("int64")  # engines count rows in types of their own
    halved = strongest.group_by("key", "item_id", half=half).aggregate(
        visitors=strongest.count(), nano=strongest.nano.sum()
    )
    return halved.mutate(key=ibis.literal(prefix) + halved.key.cast("string"))


def crowds(past: Past, dataset: Dataset) -> list[Listed]:
    """The lists of every store, entrance, hour and article that enough visitors took something at."""
    if not past.real_time or not len(dataset.user):
        return []
    strength = dict(zip(ACTS, dataset.strength.tolist(), strict=True))
    rows = takings(past, strength, dataset.until_us).to_pyarrow()
    (keys, list_of), (ids, id_of) = (_coded(rows[name]) for name in ("key", "item_id"))
    order = np.lexsort((rows["half"].to_numpy(), id_of, list_of))
    key, item = keys[list_of[order]], np.searchsorted(dataset.items, ids)[id_of[order]]
    half, weight, visitors = (rows[name].to_numpy()[order] for name in ("half", "nano", "visitors"))
    weight = weight / NANO
    items = len(dataset.items)
    everybody = np.zeros((2, items))
    here = key == EVERYBODY.encode()
    np.add.at(everybody, (half[here], item[here]), weight[here])
    found: list[Listed] = []
    for kind in KINDS:
        here = np.char.startswith(key, f"{kind}:".encode())
        counts = _counts(key[here], item[here], half[here], weight[here], visitors[here])
        found += lists(counts, everybody, dataset.rankable)
    return found


def _coded(words: pa.ChunkedArray) -> tuple[Ids, npt.NDArray[np.intp]]:
    """The different words in order, and the place of each word given among them."""
    coded = words.combine_chunks().dictionary_encode()
    names, places = np.unique(as_ids(coded.dictionary.to_pylist()), return_inverse=True)
    return names, places[coded.indices.to_numpy()]


def lists(counts: Counts, everybody: Float64, rankable: npt.NDArray[np.bool_]) -> list[Listed]:
    """The lists of one kind; none when it foretells nothing. everybody: [2, I] weight by half of the visitors."""
    if not len(counts.keys):
        return []
    pull, gain = best_pull(counts, everybody)
    if gain < LEAST_GAIN:
        return []
    usual = _shares(everybody.sum(axis=0))
    head = np.argsort(-usual, kind="stable")[:KEPT]
    least = usual[head[-1]]
    starts = np.append(np.searchsorted(counts.row, np.arange(len(counts.keys))), len(counts.row))
    found = []
    for row, key in enumerate(counts.keys):
        part = slice(starts[row], starts[row + 1])
        own = counts.weight[:, part].sum(axis=0)
        items = np.concatenate([counts.item[part], np.setdiff1d(head, counts.item[part])])
        count = np.concatenate([own, np.zeros(len(items) - len(own))])
        visitors = np.concatenate([counts.visitors[part], np.zeros(len(items) - len(own), np.int64)])
        prior = pull * usual[items]
        share = np.where(rankable[items], count + prior, 0.0)
        because = (count >= prior) & (visitors >= FEWEST_VISITORS)
        share[~because & (usual[items] < least)] = 0.0  # neither taken by enough here nor popular everywhere
        order = np.lexsort((items, -share))[:KEPT]
        order = order[share[order] > 0]
        scores = (share[order] / share[order[:1]]).astype(np.float32)
        support = np.where(because, visitors, 0)[order].astype(np.float32)
        found.append(Listed(key.decode(), items[order].astype(np.int32), scores, support, gain))
    return found


def best_pull(counts: Counts, everybody: Float64) -> tuple[float, float]:
    """The k by which one half of the visitors foretells best what the other half took on the same occasions, and by
    how many nats an act that is better than what everybody takes."""
    gains = np.zeros(len(PULLS))
    for known in (0, 1):
        usual = _shares(everybody[known])[counts.item]
        own, seen = counts.weight[known], counts.weight[1 - known]
        size = np.bincount(counts.row, own)[counts.row]
        for at, pull in enumerate(PULLS):
            gains[at] += seen @ np.log((own + pull * usual) / ((size + pull) * usual))
    gains /= max(counts.weight.sum(), 1e-12)
    best = int(np.argmax(gains))
    return PULLS[best], float(gains[best])


def _counts(
    key: Ids, item: npt.NDArray[np.intp], half: npt.NDArray[np.intp], weight: Float64, visitors: npt.NDArray[np.int64]
) -> Counts:
    """Rows sorted by key and item, the halves put side by side; keys that rest on too few are left out."""
    fresh = np.ones(len(key), bool)
    fresh[1:] = (key[1:] != key[:-1]) | (item[1:] != item[:-1])
    place = np.cumsum(fresh) - 1
    both = np.zeros((2, int(fresh.sum())))
    both[half, place] = weight
    people = np.bincount(place, visitors, both.shape[1]).astype(np.int64)
    keys, row = np.unique(key[fresh], return_inverse=True)
    enough = np.bincount(row, people, len(keys)) >= FEWEST_TAKEN
    kept = enough[row]
    return Counts(keys[enough], (np.cumsum(enough) - 1)[row[kept]], item[fresh][kept], both[:, kept], people[kept])


def _shares(weight: Float64) -> Float64:
    """Shares of the whole, as if half an act of everything had been seen besides."""
    shares: Float64 = (weight + 0.5) / (weight.sum() + 0.5 * len(weight))
    return shares
