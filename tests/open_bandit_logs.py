"""open_bandit's logs, taken in by the shipped mappings and read back from the lake for off-policy estimates."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import ibis
import numpy as np
import numpy.typing as npt

from portraits.attribution import Attribution
from portraits.engine import connect
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings
from recommender.effects.policy_value import Estimate, Log

MAPPINGS = Path(__file__).parents[1] / "notebooks" / "mappings"
POLICIES = ("random", "bts")
TRUTH = {("men", "random"): 0.0051, ("men", "bts"): 0.0067, ("women", "random"): 0.0048, ("women", "bts"): 0.0064}
"""Click rates of the whole data, of which the files hold 10,000 rows each (DATA.md)."""
DISTINCT = {"men": 34, "women": 46}


class Shown(NamedTuple):
    """One log: item (a number), place (0, 1, 2), chance that it stood there, clicked (0 or 1)."""

    item: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    chance: npt.NDArray[np.float64]
    clicked: npt.NDArray[np.float64]

    def log(self, chance: npt.NDArray[np.float64] | None = None) -> Log:
        """Every row is somebody else's: visitors are only known by four coarse features."""
        return Log(self.item, self.chance if chance is None else chance, self.clicked)

    def shares(self, items: int) -> npt.NDArray[np.float64]:
        """[place, item]: how often each stood at each place."""
        counts = np.zeros((3, items))
        np.add.at(counts, (self.place, self.item), 1)
        shares: npt.NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
        return shares


def shown(folder: Path, lake: Lake, campaign: str, policy: str) -> Shown:
    """The log of one policy in one campaign (men, women), imported to `lake` under an app of its own."""
    app = f"{policy}-{campaign}"
    for table in ("decisions", "events"):
        mapping = Mapping.load(MAPPINGS / f"open_bandit_{table}.toml")
        import_file(lake, AppSettings(app), table, folder / f"open_bandit/{policy}_{campaign}.csv.gz", mapping)
    con, snapshot = connect(threads=1), lake.snapshot(app)
    events = snapshot.events(con)
    events = events.mutate(ts_us=events.ts.epoch_seconds() * 1_000_000, own=ibis.literal(True))
    found = Attribution(snapshot.decisions(con), events, 24.0)
    entries = found.entries(found.answers)
    clicks = events.filter(events.type == "click").select(clicked_in="decision_id")
    rows = entries.left_join(clicks, entries.decision_id == clicks.clicked_in)
    told = rows.select("item_id", "position", "propensity", clicked=rows.clicked_in.notnull(), turn=rows.decision_id)
    table = told.order_by("turn").to_pyarrow()
    item = np.array([int(one.rpartition("-")[2]) for one in table["item_id"].to_pylist()])
    place, chance, clicked = (table[name].to_numpy() for name in ("position", "propensity", "clicked"))
    return Shown(item, place - 1, chance, clicked.astype(np.float64))


def even(rows: Shown, items: int) -> npt.NDArray[np.float64]:
    """[n, items] chances of the random policy."""
    return np.full((len(rows.item), items), 1 / items)


def as_other(rows: Shown, other: Shown, items: int) -> npt.NDArray[np.float64]:
    """[n, items] chances of the policy that made `other`, at the places of `rows`.

    Its log tells the chance of what was shown alone, and that moved from one half hour to the next. A policy that looks
    at nothing but the place and the hour is worth, while items appeal alike all week, what its average over the week is
    worth; and the average is how often each item stood at each place. What 10,000 rows leave open of these shares adds
    (standard deviation of the click rates over them) / 100 to the error: 1/30 of it at most.
    """
    return other.shares(items)[rows.place]


def averaged(rows: Shown, items: int) -> npt.NDArray[np.float64]:
    """[n]: chance of what was shown under the average of a policy that moved (the balanced estimator of Agarwal, Basu,
    Schnabel, Joachims 2017, "Effective evaluation using logged bandit feedback from multiple loggers")."""
    return rows.shares(items)[rows.place, rows.item]


def covers(found: Estimate, truth: float) -> bool:
    return found.low <= truth <= found.high
