"""Statements that PostgreSQL plans once a connection, for the hottest reads: planning costs more than some of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg._queries import PostgresQuery


class _PreparedCursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **_: Any) -> "_PreparedCursor":
        super().execute(query, params, prepare=True)
        # Where Django's log of statements looks; psycopg sets it only for what it does not prepare.
        self._query = PostgresQuery(self._tx)
        self._query.query = query.encode()
        return self


# One cursor a connection: a new one would look every column's type up anew.
_cursors: WeakKeyDictionary[psycopg.Connection[Any], _PreparedCursor] = WeakKeyDictionary()


def fetch_prepared(sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement, which is prepared on Django's own connection and takes part in its transaction.

    Errors, logging and counting of statements are Django's. Needs `prepare_threshold` in the options of the
    database; a pooler in between has to know prepared statements (PgBouncer 1.21 or later).
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    held = connection.connection
    cursor = _cursors.get(held)
    if cursor is None:
        cursor = _cursors[held] = _PreparedCursor(held)
    wrapped = connection._prepare_cursor(cursor)  # type: ignore[attr-defined]  # what connection.cursor() ends with
    wrapped.execute(sql, parameters)
    rows: list[tuple[Any, ...]] = wrapped.fetchall()
    return rows
