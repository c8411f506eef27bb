"""What one of many processes does that claim offers at the same moment. Imports little: it is started 64 times."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from portraits.errors import OfferRefused, StoreUnavailable
from serving.stores import Store
from serving.stores.claim_steps import claim

PATIENT_S = 180.0
"""As long as so many processes may take to begin on a busy machine."""
OPENED_AFTER = 20
"""Times that a process tries to connect beside so many others."""


class Wish(NamedTuple):
    """A claim that is asked for."""

    request_id: str
    user_id: str
    offer_id: str


def claim_all(url: str, app_id: str, wishes: Sequence[Wish], start: Barrier, said: Queue[tuple[str, str, str]]) -> None:
    """Asks for each, once all processes are there, and again where the store was busy; puts (request_id, offer_id, what
    was said) into `said`, `what` being a claim_id or the code of the refusal."""
    store = _opened(url)
    start.wait(PATIENT_S)
    for wish in wishes:
        said.put((wish.request_id, wish.offer_id, _claimed(store, app_id, wish)))
    store.close()


def _opened(url: str) -> Store:
    for _ in range(OPENED_AFTER):
        try:
            return Store.open(url)
        except StoreUnavailable:
            continue
    return Store.open(url)


def _claimed(store: Store, app_id: str, wish: Wish) -> str:
    while True:
        try:
            with store.write() as connection:
                return str(claim(connection, app_id, wish._asdict())["claim_id"])
        except OfferRefused as refusal:
            return refusal.code
        except StoreUnavailable:
            continue
