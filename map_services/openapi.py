"""The definition of the interface for programs: OpenAPI 3.0."""

from typing import Any

from django.utils.translation import gettext as _

from .collections import COLLECTIONS, Collection
from .crs import CRS84, OFFERED
from .queries import LIMIT, MOST

Schema = dict[str, Any]


def definition(server: str) -> Schema:
    """What can be asked below the address of the service."""
    paths: Schema = {
        "/": _get(_("Where everything begins"), "application/json"),
        "/api": _get(_("This definition"), "application/vnd.oai.openapi+json;version=3.0"),
        "/conformance": _get(_("What it conforms to"), "application/json"),
        "/collections": _get(_("All collections"), "application/json"),
    }
    for one in COLLECTIONS.values():
        paths |= _collection(one)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": _("Urban grid"),
            "version": "1",
            "description": _("OGC API - Features, read-only, with the reader's rights. Errors are RFC 9457."),
        },
        "servers": [{"url": server}],
        "security": [{"password": []}, {"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "token": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
            },
            "parameters": {
                "f": _parameter("f", {"type": "string", "enum": ["json", "html"]}),
                "limit": _parameter(
                    "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}
                ),
                "cursor": _parameter("cursor", {"type": "string"}),
                "bbox": _parameter(
                    "bbox",
                    {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}},
                    style="form",
                    explode=False,
                ),
                "bbox-crs": _parameter("bbox-crs", _systems()),
                "crs": _parameter("crs", _systems()),
                "datetime": _parameter("datetime", {"type": "string"}),
            },
        },
    }


def _systems() -> Schema:
    return {"type": "string", "format": "uri", "enum": list(OFFERED), "default": CRS84.uri}


def _parameter(name: str, schema: Schema, **more: Any) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, **more}


def _ref(*names: str) -> list[Schema]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _get(summary: str, kind: str, parameters: list[Schema] | None = None) -> Schema:
    problem = {"application/problem+json": {"schema": {"type": "object"}}}
    return {
        "get": {
            "summary": summary,
            "parameters": [*_ref("f"), *(parameters or [])],
            "responses": {
                "200": {
                    "description": summary,
                    "content": {
                        kind: {"schema": {"type": "object"}},
                        "text/html": {"schema": {"type": "string"}},
                    },
                },
                "default": {"description": _("Refused"), "content": problem},
            },
        }
    }


def _collection(one: Collection) -> Schema:
    address = f"/collections/{one.id}"
    asked = [
        _parameter(name, {"type": prop.type}, description=str(prop.title))
        for name, prop in one.properties.items()
        if prop.queryable
    ]
    page = _ref("limit", "cursor", "bbox", "bbox-crs", "crs", "datetime") + asked
    key = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    title = str(one.title)
    return {
        address: _get(title, "application/json"),
        f"{address}/queryables": _get(title, "application/schema+json"),
        f"{address}/items": _get(title, "application/geo+json", page),
        f"{address}/items/{{id}}": _get(title, "application/geo+json", [key, *_ref("crs")]),
    }
