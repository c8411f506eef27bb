"""The OpenAPI document: valid, complete, true of the running application, and enough for a client made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from marked_apps import open_marked
from openapi_spec_validator import validate
from planted_app import Client
from starlette.applications import Starlette

from portraits.history import TABLES
from serving.app import v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.openapi import document, operation_id
from serving.routes import ROUTES
from serving.sdk.answers import ANSWERS

DOCUMENT: dict[str, Any] = json.loads(json.dumps(document()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    context = open_marked(tmp_path_factory.mktemp("tenants") / "home")
    yield context
    context.close()


@pytest.fixture(scope="module")
def client(shop: Context) -> Iterator[Client]:
    with Client(Starlette(routes=[v1(shop)])) as opened:
        yield opened


@pytest.fixture(scope="module")
def headers(shop: Context) -> dict[str, str]:
    return {"authorization": f"Bearer {shop.store.add_key('shop', 'admin')}"}


def operation(path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path]["post"]
    return found


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value by a schema of the document."""
    whole = schema | {"components": DOCUMENT["components"]}
    checker = Draft202012Validator(whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_is_described() -> None:
    assert DOCUMENT["paths"].keys() == ROUTES.keys() == ANSWERS.keys() == EXAMPLES.keys()
    names = [operation(path)["operationId"] for path in ROUTES]
    assert len(set(names)) == len(names)
    for path, route in ROUTES.items():
        body = operation(path)["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"].keys() == {field.name for field in route.form.fields}
        assert not body["additionalProperties"]
        assert operation(path)["operationId"] == operation_id(path)
    assert DOCUMENT["components"]["schemas"]["EventsRow"]["properties"].keys() == set(TABLES["events"].names)


@pytest.mark.law
@pytest.mark.parametrize("path", ROUTES)
def test_its_example_is_taken_and_the_answer_is_as_it_says(client: Client, headers: dict[str, str], path: str) -> None:
    content = operation(path)["requestBody"]["content"]["application/json"]
    assert not problems(content["example"], content["schema"])
    answer = client.post(f"/v1{path}", json=content["example"], headers=headers)
    assert answer.status_code == 200, answer.text
    told = operation(path)["responses"]["200"]["content"]["application/json"]["schema"]
    assert not problems(answer.json(), told)
    assert not undeclared(answer.json(), told), "a field that nobody declared"


def undeclared(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Fields of an answer that its schema does not name, wherever they are."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return min((undeclared(value, one, at) for one in schema["anyOf"] if not problems(value, one)), key=len)
    if isinstance(value, list):
        return [found for one in value for found in undeclared(one, schema["items"], f"{at}[]")]
    if not isinstance(value, dict):
        return []
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    found = [] if others is not None else [f"{at}.{name}" for name in value if name not in known]
    inner = {name: known.get(name, others) for name in value}
    return found + [more for name, one in inner.items() if one for more in undeclared(value[name], one, f"{at}.{name}")]


@pytest.mark.parametrize("path", ROUTES)
def test_every_refusal_is_one_it_tells(client: Client, shop: Context, headers: dict[str, str], path: str) -> None:
    events = {"authorization": f"Bearer {shop.store.add_key('other', 'events')}"}
    recommend = {"authorization": f"Bearer {shop.store.add_key('other', 'recommend')}"}
    answers = [
        client.get(f"/v1{path}"),
        client.post(f"/v1{path}", json={}),
        client.post(f"/v1{path}", json={}, headers=events),
        client.post(f"/v1{path}", json={}, headers=recommend),
        client.post(f"/v1{path}", json={"no": 1}, headers=headers),
        client.post(f"/v1{path}", content=b" " * 1_000_001, headers=headers),
    ]
    statuses = {answer.status_code for answer in answers}
    assert {401, 403, 405, 413, 422} <= statuses
    for answer in answers:
        if answer.status_code == 200:
            continue
        told = operation(path)["responses"][str(answer.status_code)]
        response = DOCUMENT["components"]["responses"][told["$ref"].rpartition("/")[2]]
        assert not problems(answer.json(), response["content"]["application/json"]["schema"])
        assert {"WWW-Authenticate", "Allow", "Retry-After"} & response["headers"].keys() == {
            name for name in ("WWW-Authenticate", "Allow", "Retry-After") if name.lower() in answer.headers
        }


def test_it_is_served(client: Client) -> None:
    assert client.get("/v1/openapi.json").json() == DOCUMENT
