"""The OpenAPI 3.1 document of `/v1`, made from the same declarations that check the requests and type the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portraits.history import ID_LIMIT, INTEGER_LIMIT, JSON_LIMIT, LIST_LIMIT, TABLES, TEXT_LIMIT, Column, Kind, Table
from serving.examples import EXAMPLES
from serving.forms import TEXT_PATTERN, nullable, row_name, schema_of
from serving.promotions import RULES
from serving.routes import ROUTES, Route
from serving.sdk.answers import ANSWERS, ErrorAnswer
from serving.shapes import Schema, components, reference
from serving.tenants import ADMIN

ROWS = {**TABLES, RULES.name: RULES}
"""What a field of rows may hold, by name."""

_KINDS: Mapping[Kind, Schema] = {
    Kind.ID: {"type": "string", "maxLength": ID_LIMIT, "pattern": TEXT_PATTERN},
    Kind.TEXT: {"type": "string", "maxLength": TEXT_LIMIT, "pattern": TEXT_PATTERN},
    Kind.TIME: {"type": "string", "format": "date-time"},
    Kind.INTEGER: {"type": "integer", "format": "int64", "minimum": -INTEGER_LIMIT, "maximum": INTEGER_LIMIT},
    Kind.DECIMAL: {"anyOf": [{"type": "number"}, {"type": "string"}]},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.LIST: {
        "type": "array",
        "items": {"type": "string", "maxLength": TEXT_LIMIT, "pattern": TEXT_PATTERN},
        "maxItems": LIST_LIMIT,
    },
    Kind.JSON: {
        "anyOf": [{"type": "object"}, {"type": "array", "items": {}}, {"type": "string"}],
        "description": f"at most {JSON_LIMIT} characters",
    },
}
_REQUEST_ID = {"X-Request-Id": {"description": "names the request in the service's log", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}}
_REFUSALS: Mapping[int, tuple[str, str, Mapping[str, Any]]] = {
    401: ("Unauthorized", "no valid key", {"WWW-Authenticate": {"schema": {"type": "string"}}}),
    403: ("Forbidden", "the key may not do that: another scope, app or visitor", {}),
    404: ("NotFound", "nothing goes by that name", {}),
    405: ("WrongMethod", "every route takes POST", {"Allow": {"schema": {"type": "string"}}}),
    408: ("NotReceived", "the request did not arrive in time; nothing was accepted", {}),
    409: ("Conflict", "something stands against it; `code` says what", {}),
    413: ("TooLarge", "over a stated limit", {}),
    422: ("Invalid", "a field cannot be taken; `field` names it", {}),
    429: ("TooMany", "too many requests, or too many questions wait", _RETRY_AFTER),
    503: ("Unavailable", "nothing was accepted; try again after Retry-After seconds", _RETRY_AFTER),
    504: ("TooSlow", "the question took too long and was stopped", {}),
}
_OFTEN = (401, 403, 405, 408, 413, 422, 429, 503)
_MORE: Mapping[str, tuple[int, ...]] = {
    "segments": (404, 409, 504),
    "portrait": (504,),
    **dict.fromkeys(("/offers/claim", "/offers/redeem", "/offers/return"), (404, 409)),
}
"""Beside those, by the path or how it begins."""


def document() -> dict[str, Any]:
    """The whole document."""
    tables = sorted({field.row for route in ROUTES.values() for field in route.form.fields if field.row})
    return {
        "openapi": "3.1.0",
        "info": {"title": "huaxiang", "version": "1", "description": "Events in, recommendations out."},
        "servers": [{"url": "/v1"}],
        "tags": [
            {"name": scope, "description": f"needs a key of scope {scope}, or admin"}
            for scope in dict.fromkeys(route.scope for route in ROUTES.values())
        ],
        "paths": {path: {"post": _operation(route)} for path, route in ROUTES.items()},
        "components": {
            "securitySchemes": _SECURITY,
            "responses": {name: _refusal(text, headers) for name, text, headers in _REFUSALS.values()},
            "schemas": {row_name(name): _row_schema(ROWS[name]) for name in tables}
            | components(*ANSWERS.values(), ErrorAnswer),
        },
    }


_OR_VISITOR = ", or a visitor's token, whose own `user_id` need not be said"
_OR_ADMIN_S = f"{_OR_VISITOR}, if it was made with a key of that scope"
_BY_KEY: list[dict[str, list[str]]] = [{"key": []}, {"key": [], "app": []}]
_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "a key of an app; a provider's key names the app too"},
    "app": {"type": "apiKey", "in": "header", "name": "X-App-Id", "description": "which app a provider's key is for"},
    "token": {"type": "http", "scheme": "bearer", "description": "a visitor's own token, made by the app's backend"},
}


def operation_id(path: str) -> str:
    """What the operation, and the method of a client, is called: /offers/catalogue -> offers_catalogue."""
    return path.strip("/").replace("/", "_")


def _or_visitor(route: Route) -> str:
    return "" if not route.user else _OR_ADMIN_S if route.scope == ADMIN else _OR_VISITOR


def _operation(route: Route) -> dict[str, Any]:
    body = _json(schema_of(route.form))
    body["application/json"]["example"] = EXAMPLES[route.path]
    statuses = sorted(_OFTEN + (_MORE.get(route.path) or _MORE.get(route.path.split("/")[1], ())))
    refusals = {str(status): {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"} for status in statuses}
    answer = {"description": "done", "headers": _REQUEST_ID, "content": _json(reference(ANSWERS[route.path]))}
    return {
        "operationId": operation_id(route.path),
        "tags": [route.scope],
        "summary": route.meaning,
        "description": f"Needs a key with scope `{route.scope}`{_or_visitor(route)}.",
        "security": [*_BY_KEY, {"token": []}] if route.user else _BY_KEY,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer} | refusals,
    }


def _refusal(meaning: str, headers: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "headers": {**_REQUEST_ID, **headers}, "content": _json(reference(ErrorAnswer))}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _row_schema(table: Table) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [column.name for column in table.columns if column.required],
        "properties": {column.name: _column_schema(column) for column in table.columns},
    }


def _column_schema(column: Column) -> Schema:
    kind = dict(_KINDS[column.kind])
    limits = kind.pop("description", "")
    schema = kind | ({} if column.minimum is None else {"minimum": column.minimum})
    schema |= {} if column.maximum is None else {"maximum": column.maximum}
    if not column.required:
        schema = nullable(schema)
    elif column.kind is Kind.ID:
        schema["minLength"] = 1
    return schema | {"description": f"{column.meaning} ({limits})" if limits else column.meaning}
