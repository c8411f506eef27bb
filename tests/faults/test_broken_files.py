"""Published files that are missing, cut short, changed by a bit or cannot be read, each in turn, and what is answered.

Products come from the catalogue, degraded; what only portraits can tell is refused with the file's name; nothing is a
500; and the next publication is served by the process as it stands.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from planted_app import ITEMS, Client, night, open_shop, publish_night
from published_shop import END, PATIENT_S, open_published_shop
from serving_process import READY_S, Service
from starlette.applications import Starlette

from portraits.portrait_set import MANIFEST_FILE, PortraitSet
from recommender.bundles.files import MANIFEST
from recommender.bundles.layout import ARRAYS
from serving.app import v1
from serving.context import Context
from serving.publish import bundle_folder, portraits_folder, publish
from serving.settings import ProcessSettings

pytestmark = pytest.mark.fault

N = len(ITEMS)
RULE = {"field": "orders", "op": ">=", "value": 1}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose(path: Path) -> None:
    path.unlink()


def forbid(path: Path) -> None:
    """Nobody may read it; root may read anything, so for root something stands there that is no file."""
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        path.mkdir()


HARM: tuple[Callable[[Path], None], ...] = (cut, empty, flip, lose, forbid)


class Asked:
    """Requests to the application over one context."""

    def __init__(self, context: Context, client: Client) -> None:
        self.context = context
        self._client = client
        self._headers = {"authorization": f"Bearer {context.store.add_key('shop', 'admin')}"}

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        answer = self._client.post(f"/v1{path}", json=body, headers=self._headers)
        return answer.status_code, answer.json()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Asked]:
    process, store = open_shop(tmp_path)
    store.close()
    yield from _asked(process)


def _asked(process: ProcessSettings) -> Iterator[Asked]:
    context = Context.open(process)
    with Client(Starlette(routes=[v1(context)])) as client:
        yield Asked(context, client)
    context.close()


def harm(place: int) -> Callable[[Path], None]:
    """All harms in turn, so that each file meets one and each harm many files."""
    return HARM[place % len(HARM)]


def test_every_file_of_the_bundle(shop: Asked) -> None:
    process, store = shop.context.settings, shop.context.store
    whole = bundle_folder(process, "shop", publish_night(process, store, night()))
    for place, name in enumerate((*(f"{array}.npy" for array in ARRAYS), *[MANIFEST] * len(HARM))):
        harmed = bundle_folder(process, "shop", f"harmed-{place}")
        shutil.copytree(whole, harmed)
        harm(place)(harmed / name)
        store.activate("shop", as_of=datetime.now(UTC), bundle=harmed.name)
        status, answer = shop.post("/recommend", user_id="ann", n=N)
        assert (status, answer["degraded"], answer["version"], len(answer["items"])) == (200, True, None, N), name
        assert [shop.post(f"/{path}", item_id="green")[0] for path in ("similar", "together")] == [200, 200]
    version = publish_night(process, store, night())
    status, answer = shop.post("/recommend", user_id="ann", n=N)
    assert (status, answer["degraded"], answer["version"]) == (200, False, version)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "home"
    _, store, _ = open_published_shop(folder)
    store.close()
    return folder


@pytest.fixture
def portraits(published: Path, tmp_path: Path) -> Iterator[Asked]:
    home = shutil.copytree(published, tmp_path / "home")
    for asked in _asked(ProcessSettings(home=Path(home), secret="only for tests")):
        asked.context.analyst.answer_within(PATIENT_S)
        yield asked


def test_every_file_of_the_portraits(portraits: Asked) -> None:
    process, store = portraits.context.settings, portraits.context.store
    active = store.active("shop").portraits
    assert active is not None
    whole = Path(shutil.copytree(portraits_folder(process, "shop", active.version), process.home / "whole"))
    asked: dict[str, dict[str, Any]] = {
        "/segments/match": {"user_id": "u000", "rule": RULE},
        "/segments/preview": {"rule": RULE},
        "/portrait": {"user_id": "u000"},
    }
    for place, name in enumerate((*PortraitSet(whole).manifest["files"], MANIFEST_FILE)):
        version = publish(process, store, "shop", as_of=END, portraits=whole)
        harm(place)(portraits_folder(process, "shop", version) / name)
        for path, body in asked.items():
            status, answer = portraits.post(path, **body)
            assert (status, answer.get("error", {}).get("code")) == (503, "broken_bundle"), (name, path, answer)
            assert "publish again" in answer["error"]["message"]
        assert portraits.post("/segments/list")[0] == 200
        assert portraits.post("/recommend", user_id="u000")[0] == 200
    publish(process, store, "shop", as_of=END, portraits=whole)
    assert [portraits.post(path, **body)[0] for path, body in asked.items()] == [200] * len(asked)


def test_portraits_cut_short_under_a_worker_that_has_them_open(portraits: Asked) -> None:
    process, store = portraits.context.settings, portraits.context.store
    active = store.active("shop").portraits
    assert active is not None
    assert portraits.post("/portrait", user_id="u000")[0] == 200
    for path in portraits_folder(process, "shop", active.version).glob("*.parquet"):
        os.truncate(path, 8)
    status, answer = portraits.post("/segments/match", user_id="u079", rule=RULE)
    assert status in (200, 503), answer
    assert status == 200 or answer["error"]["code"] == "broken_bundle"


def test_a_bundle_cut_short_in_place_while_it_is_mapped(tmp_path: Path) -> None:
    """The kernel ends a process that reads a page which is gone (SIGBUS). No request of ours can catch that; the
    supervisor starts another worker, which finds the checksum wrong and answers from the catalogue."""
    settings, store = open_shop(tmp_path)
    with Service(settings) as service:
        key = store.add_key("shop", "recommend")
        answer = _recommended(service, key)
        assert not answer["degraded"]
        worker = service.workers()[0]
        for path in bundle_folder(settings, "shop", answer["version"]).glob("*.npy"):
            os.truncate(path, 0)
        answer = _recommended(service, key)
        assert (answer["degraded"], len(answer["items"])) == (True, N)
        assert not worker.is_running()
        publish_night(settings, store, night())
        assert not _recommended(service, key)["degraded"]
    store.close()


def _recommended(service: Service, key: str) -> Any:
    """The first answer that comes; a request that a dying worker took is sent again."""
    deadline = time.monotonic() + READY_S
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    while True:
        try:
            body = {"user_id": "ann", "n": N}
            answer = httpx.post(f"{service.url}/v1/recommend", json=body, headers=headers, timeout=READY_S)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        else:
            assert answer.status_code == 200, answer.text
            return answer.json()
