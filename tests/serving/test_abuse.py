"""What no client library would send, over a real socket: the service answers in its words or hangs up; it goes on."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from planted_app import open_shop, purchase
from serving_process import Service

from serving.app import LARGEST_BODY
from serving.routes import ROUTES
from serving.stores import Store

PATIENT_S = 60.0
ASK = b'{"user_id":"ann","n":1}'
DEEP = 100_000
UNREADABLE = {
    "nothing": b"",
    "not an object": b"[]",
    "half a body": b'{"user_id": "ann"',
    "two bodies": ASK + ASK,
    "not a number": b'{"user_id":"ann","n":NaN}',
    "infinity": b'{"user_id":"ann","diversity":Infinity}',
    "beyond a double": b'{"user_id":"ann","diversity":1e999}',
    "no such fraction": b'{"user_id":"ann","n":1.5e-400}',
    "more digits than Python reads": b'{"user_id":"ann","n":' + b"9" * 100_000 + b"}",
    "huge and negative": b'{"user_id":"ann","n":-99999999999999999999999999}',
    "deep lists": b'{"user_id":"ann","exclude":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"user_id":"ann","context":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep and not closed": b'{"user_id":' + b"[" * DEEP,
    "not UTF-8": b'{"user_id":"\xff\xfe"}',
    "overlong UTF-8": b'{"user_id":"\xc0\xaf"}',
    "half a pair": b'{"user_id":"\\ud800"}',
    "a surrogate as bytes": b'{"user_id":"\xed\xa0\x80"}',
    "an id with NUL": b'{"user_id":"a\\u0000"}',
    "an id that is too long": b'{"user_id":"' + b"a" * 129 + b'"}',
    "an id of nothing": b'{"user_id":""}',
    "another language": b"user_id=ann&n=1",
    "compressed": gzip.compress(ASK),
    "UTF-16": '{"user_id":"ann"}'.encode("utf-16"),
}
READABLE = {
    "the same name twice": b'{"user_id":"bob","user_id":"ann","n":1,"n":1}',
    "right to left": '{"user_id":"\u202eann\u0645\u0631\u062d\u0628\u0627"}'.encode(),
    "beyond the basic plane": '{"user_id":"\U0001f375\U0001f375"}'.encode(),
    "the longest id": b'{"user_id":"' + "茶".encode() * 128 + b'"}',
    "null for what may be left out": b'{"user_id":"ann","n":null,"filters":null,"context":{"cart":null}}',
    "room around it": b"\r\n\t  " + ASK + b" \n",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(settings) as started:
        yield started


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    store = Store.open(service.settings.store_url)
    made = store.add_key("shop", "admin")
    store.close()
    return made


@dataclass
class Raw:
    """Bytes to the service and back, one connection a message."""

    service: Service
    key: str

    def __call__(self, message: bytes, more: Iterable[bytes] = ()) -> tuple[int, bytes]:
        """The status, 0 where it hung up without one, and all that came with it; a service that says nothing fails."""
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=PATIENT_S) as connection:
            told = b""
            try:
                connection.sendall(message)
                for part in more:
                    connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it does not want to hear more; what it says is still there to read
            try:
                while part := connection.recv(65_536):
                    told += part
            except ConnectionResetError:
                pass
        status, _, rest = told.partition(b"\r\n")
        return int(status.split()[1]) if status else 0, rest

    def head(self, method: str = "POST", path: str = "/v1/recommend", **headers: str) -> bytes:
        """The head of a request."""
        known = {"host": "localhost", "authorization": f"Bearer {self.key}", "connection": "close"}
        told = known | {name.replace("_", "-"): value for name, value in headers.items()}
        return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in told.items()), "\r\n"]).encode()

    def post(self, body: bytes, path: str = "/v1/recommend", **headers: str) -> tuple[int, bytes]:
        return self(self.head(path=path, content_length=str(len(body)), **headers) + body)


@pytest.fixture
def raw(service: Service, key: str) -> Iterator[Raw]:
    yield Raw(service, key)
    answer = httpx.post(f"{service.url}/v1/recommend", content=ASK, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, "it goes on"
    assert "Traceback" not in service.log()


def refused(answer: tuple[int, bytes], *expected: int) -> None:
    """An envelope of ours with one of these statuses, and nothing of the inside."""
    status, told = answer
    assert status in expected, told
    assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert b"Traceback" not in told


@pytest.mark.parametrize("head", ["{}", "content-length: 500000", "transfer-encoding: chunked", "expect: 100-continue"])
@pytest.mark.parametrize(
    ("status", "asked", "wrong"),
    [(401, ("POST", "/v1/events"), "hx_no"), (404, ("POST", "/v1/no"), ""), (405, ("PUT", "/v1/events"), "")],
)
def test_a_body_that_nobody_will_read_is_not_waited_for(
    raw: Raw, status: int, asked: tuple[str, str], wrong: str, head: str
) -> None:
    """Its connection is closed, although the client would keep it; where the body was there, it is kept."""
    name, _, value = head.partition(": ")
    headers = {"connection": "keep-alive", "authorization": f"Bearer {wrong or raw.key}"}
    if value:
        told = raw(raw.head(*asked, **headers, **{name.replace("-", "_"): value}))  # until it hangs up
        refused(told, status)
        assert b"connection: close" in told[1]
        return
    first = raw.head(*asked, **headers, content_length="2") + b"{}"
    last = raw.head(*asked, **headers | {"connection": "close"}, content_length="2") + b"{}"
    told = raw(first + last)
    assert (told[0], told[1].count(f"HTTP/1.1 {status} ".encode())) == (status, 1), "both were answered"


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused(raw: Raw, what: str) -> None:
    refused(raw.post(UNREADABLE[what]), 422)


@pytest.mark.parametrize("what", READABLE)
def test_a_body_that_is_strange_but_right_is_taken(raw: Raw, what: str) -> None:
    status, told = raw.post(READABLE[what], content_type="text/plain; charset=utf-7")
    assert status == 200, told


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("what", ["deep lists", "more digits than Python reads", "half a pair", "beyond a double"])
def test_every_route_refuses_what_cannot_be_read(raw: Raw, path: str, what: str) -> None:
    refused(raw.post(UNREADABLE[what], path=f"/v1{path}"), 422)


def test_numbers_and_depths_inside_a_row(raw: Raw) -> None:
    """A row that is wrong is refused by itself."""
    good = purchase("fine", "ann", "green")
    events = ",".join(
        [
            json.dumps(good),
            json.dumps(good | {"event_id": "n1", "amount": -1}),
            json.dumps(good | {"event_id": "n2", "amount": 2**63}),
            json.dumps(good | {"event_id": "n3", "quantity": 1e308}),
            json.dumps(good | {"event_id": "n4", "ts": "0001-01-01T00:00:00Z"}),
            json.dumps(good | {"event_id": "n5", "ts": "9999-12-31T23:59:59.999999-23:59"}),
            '{"event_id":"n6","user_id":"ann","type":"x","ts":"2026-01-01T00:00:00Z","properties":'
            + '{"a":' * 500
            + "1"
            + "}" * 501,
        ]
    )
    status, told = raw.post(f'{{"events":[{events}]}}'.encode(), path="/v1/events")
    assert status == 200, told
    answer = json.loads(told.partition(b"\r\n\r\n")[2])
    assert [one["index"] for one in answer["rejected"]][:5] == [1, 2, 3, 4, 5]
    assert answer["accepted"] + len(answer["rejected"]) == 7


def test_a_body_that_is_said_to_be_compressed(raw: Raw) -> None:
    """What is sent is what is read: nothing is unpacked, so nothing can burst."""
    refused(raw.post(gzip.compress(ASK), content_encoding="gzip"), 422)
    refused(raw.post(gzip.compress(b" " * 50_000_000), content_encoding="gzip"), 422)


def test_a_body_that_is_too_large(raw: Raw) -> None:
    large = b" " * (10 * LARGEST_BODY)
    status, _ = raw.post(large)
    assert status in (0, 413), "refused, or hung up while it was still sent"
    refused(raw(raw.head(content_length=str(10**18))), 413)
    refused(raw(raw.head(content_length=str(LARGEST_BODY + 1))), 413)
    status, _ = raw(raw.head(transfer_encoding="chunked"), (b"10000\r\n" + b" " * 65_536 + b"\r\n" for _ in range(160)))
    assert status in (0, 413)


def test_chunks_that_are_none(raw: Raw) -> None:
    status, _ = raw(raw.head(transfer_encoding="chunked") + b"zz\r\nhello\r\n0\r\n\r\n")
    assert status in (0, 400)
    status, _ = raw(raw.head(transfer_encoding="chunked") + b"ffffffffffffffffff\r\n")
    assert status in (0, 400)
    whole = b"".join(f"{len(ASK[n : n + 1]):x}\r\n".encode() + ASK[n : n + 1] + b"\r\n" for n in range(len(ASK)))
    assert raw(raw.head(transfer_encoding="chunked") + whole + b"0\r\n\r\n")[0] == 200


@pytest.mark.parametrize("head", [{"transfer_encoding": "chunked"}, {"content_length": "500000"}])
def test_a_body_that_does_not_end_is_not_waited_for(raw: Raw, head: dict[str, str]) -> None:
    refused(raw(raw.head(**head) + b"8\r\n12345678\r\n"), 408)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "5, 6", "\u0663".encode().decode("latin-1")])
def test_a_length_that_is_none(raw: Raw, length: str) -> None:
    head = raw.head(content_length=length).replace(length.encode(), length.encode("latin-1"))
    status, told = raw(head + ASK)
    assert status in (0, 400, 422), told
    assert b"Traceback" not in told


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/events", "/v1/openapi.json"])
def test_another_method(raw: Raw, method: str, path: str) -> None:
    status, told = raw(raw.head(method, path))
    assert status in (0, 400, 405) or (method, path) == ("GET", "/v1/openapi.json"), told
    assert b"Traceback" not in told


@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1//recommend",
        "//v1/recommend",
        "/v1/recommend/",
        "/v1/recommend%2f",
        "/v1%2frecommend",
        "/v1/../v1/recommend",
        "/v1/%2e%2e/console",
        "/v1/segments%2flist",
        "/v1/recommend%00",
        "/v1/%ff%fe",
        "/v1/" + "a" * 8_000,
        "/v1/\u8336".encode().decode("latin-1"),
    ],
)
def test_a_path_that_is_written_otherwise_is_no_way_around_the_key(raw: Raw, path: str) -> None:
    """What it means once it is decoded is what is asked for; all else is not there."""
    head = raw.head(path=path, content_length=str(len(ASK)))
    message = head.replace(path.encode(), path.encode("latin-1")) + ASK
    status, told = raw(message)
    assert status in (0, 200, 307, 400, 404, 414, 422, 431), told
    assert b"Traceback" not in told
    stranger = message.replace(b"Bearer " + raw.key.encode(), b"Bearer nobody")
    assert raw(stranger)[0] == (401 if status in (200, 422) else status)


def test_questions_after_the_path_change_nothing(raw: Raw) -> None:
    assert raw.post(ASK, path="/v1/recommend?user_id=bob&n=" + "9" * 5_000)[0] == 200


@pytest.mark.parametrize("headers", [{f"x-{n}": "y" * 50 for n in range(500)}, {"x-one": "y" * 200_000}])
def test_a_flood_of_headers(raw: Raw, headers: dict[str, str]) -> None:
    status, told = raw.post(ASK, **headers)
    assert status in (0, 200, 400, 413, 431), told
    assert b"Traceback" not in told


@pytest.mark.parametrize("name", ["authorization", "x_app_id", "x_request_id", "traceparent"])
@pytest.mark.parametrize(
    "value", ["", "\xff\xfe", "Bearer " + "a" * 9_000, "'; DROP TABLE keys; --", "../../etc", "%00"]
)
def test_headers_that_are_read_hold_anything(raw: Raw, name: str, value: str) -> None:
    head = raw.head(**{name: "VALUE"}, content_length=str(len(ASK))).replace(b"VALUE", value.encode("latin-1"))
    status, told = raw(head + ASK)
    assert status in ((401,) if name == "authorization" else (200, 401, 403, 404)), told
    assert b"Traceback" not in told
