"""Whether a database is what it was, to the last byte."""

from django.apps import apps
from django.db import connection

APPS = ("gridmap", "fieldops", "realtime")


def checksums(*, apart_from: str = " ") -> dict[str, tuple[int, str]]:
    """Number of rows and a checksum of their content, for every table of ours but those with this in their name."""
    tables = sorted(
        {
            model._meta.db_table
            for app in APPS
            for model in apps.get_app_config(app).get_models(include_auto_created=True)
            if model._meta.managed and apart_from not in model._meta.db_table
        }
    )
    each = "SELECT '{0}', count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY t::text)), '') FROM \"{0}\" t"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each.format(table) for table in tables))
        return {table: (count, digest) for table, count, digest in cursor.fetchall()}
