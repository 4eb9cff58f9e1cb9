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
                "cursor": _parameter("cursor", {"type": "string"}),
                "limit": _asked(
                    "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}
                ),
                "bbox": _asked("bbox", {"type": "array", "oneOf": _BOX, "items": {"type": "number"}}),
                "bbox-crs": _asked("bbox-crs", _systems()),
                "crs": _asked("crs", _systems()),
                "datetime": _asked("datetime", {"type": "string"}),
            },
            "schemas": {
                "link": _object({"href": _TEXT, "rel": _TEXT, "type": _TEXT, "title": _TEXT}, "href", "rel"),
                "problem": _object(
                    {"type": _TEXT, "title": _TEXT, "status": _NUMBER, "code": _TEXT, "detail": _TEXT},
                    *("type", "title", "status", "code"),
                ),
                "document": _object({"links": _LINKS}),
                **{one.id: _feature(one) for one in COLLECTIONS.values()},
            },
        },
    }


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_LINKS = {"type": "array", "items": {"$ref": "#/components/schemas/link"}}
_BOX = [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}]


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _feature(one: Collection) -> Schema:
    """One feature of the collection, each property with its type; all of them may be null."""
    told = {
        name: {
            "type": prop.type,
            "title": str(prop.title),
            "nullable": True,
            **({"format": prop.format} if prop.format else {}),
        }
        for name, prop in one.properties.items()
    }
    return _object(
        {
            "type": {"type": "string", "enum": ["Feature"]},
            "id": _NUMBER if one.key is int else {"type": "string", "format": "uuid"},
            "geometry": {
                **_object({"type": {"type": "string", "enum": [one.geometry_type]}}),
                "nullable": True,
            },
            "properties": _object(told, *told),
            "links": _LINKS,
        },
        *("type", "id", "geometry", "properties"),
    )


def _page(one: Collection) -> Schema:
    return _object(
        {
            "type": {"type": "string", "enum": ["FeatureCollection"]},
            "timeStamp": {"type": "string", "format": "date-time"},
            "numberMatched": _NUMBER,
            "numberReturned": _NUMBER,
            "links": _LINKS,
            "features": {"type": "array", "items": {"$ref": f"#/components/schemas/{one.id}"}},
        },
        *("type", "features"),
    )


def _systems() -> Schema:
    return {"type": "string", "format": "uri", "enum": list(OFFERED), "default": CRS84.uri}


def _parameter(name: str, schema: Schema, **more: Any) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, **more}


def _asked(name: str, schema: Schema, **more: Any) -> Schema:
    """As the standard has them. QGIS asks the server by those values alone of which this says style and explode."""
    return _parameter(name, schema, style="form", explode=False, **more)


def _ref(*names: str) -> list[Schema]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _get(
    summary: str, kind: str, parameters: list[Schema] | None = None, schema: Schema | None = None
) -> Schema:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {
        "get": {
            "summary": summary,
            "parameters": [*_ref("f"), *(parameters or [])],
            "responses": {
                "200": {
                    "description": summary,
                    "content": {
                        kind: {"schema": schema or {"$ref": "#/components/schemas/document"}},
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
        _asked(name, {"type": prop.type}, description=str(prop.title))
        for name, prop in one.properties.items()
        if prop.queryable
    ]
    page = _ref("limit", "cursor", "bbox", "bbox-crs", "crs", "datetime") + asked
    key = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    title = str(one.title)
    return {
        address: _get(title, "application/json", _ref("datetime")),
        f"{address}/queryables": _get(title, "application/schema+json", _ref("datetime")),
        f"{address}/items": _get(title, "application/geo+json", page, _page(one)),
        f"{address}/items/{{id}}": _get(
            title, "application/geo+json", [key, *_ref("crs")], {"$ref": f"#/components/schemas/{one.id}"}
        ),
    }
