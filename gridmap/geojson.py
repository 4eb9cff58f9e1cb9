"""Boundaries as GeoJSON, built by PostGIS in one statement."""

from django.db import connection

_UNITS = """
SELECT jsonb_build_object('type', 'FeatureCollection', 'features', coalesce(jsonb_agg(jsonb_build_object(
    'type', 'Feature', 'id', u.code, 'geometry', ST_AsGeoJSON(u.boundary, 7)::jsonb,
    'properties', jsonb_build_object('code', u.code, 'name', u.area_name, 'name_en', u.name_en,
        'organisation', u.name, 'level', u.level, 'parent', p.code, 'synthetic', u.synthetic, 'virtual', u.virtual)
) ORDER BY u.code), '[]'))::text
FROM gridmap_gridunit u LEFT JOIN gridmap_gridunit p ON p.id = u.parent_id
WHERE u.district_id = %s AND u.level = %s AND u.valid_to IS NULL
"""
_CELLS = """
SELECT jsonb_build_object('type', 'FeatureCollection', 'features', coalesce(jsonb_agg(jsonb_build_object(
    'type', 'Feature', 'id', c.code, 'geometry', ST_AsGeoJSON(c.boundary, 7)::jsonb,
    'properties', jsonb_build_object('code', c.code, 'name', c.code, 'level', 6, 'synthetic', c.synthetic,
        'parent', g.code, 'levels', jsonb_build_array(d.name, r.name, s.name, m.name, g.name))
) ORDER BY c.code), '[]'))::text
FROM gridmap_cell c
JOIN gridmap_gridunit d ON d.id = c.committee_id JOIN gridmap_gridunit r ON r.id = c.regional_group_id
JOIN gridmap_gridunit s ON s.id = c.street_id JOIN gridmap_gridunit m ON m.id = c.community_id
JOIN gridmap_gridunit g ON g.id = c.party_group_id
WHERE c.district_id = %s AND c.valid_to IS NULL AND c.code = coalesce(%s, c.code)
"""


def grid_geojson(district: str, level: str, *, code: str | None = None) -> str:
    """A FeatureCollection (WGS-84 longitude/latitude) of a district's units of a level `1`…`5`, or its `cells`.

    With `code` that one cell.
    """
    with connection.cursor() as cursor:
        if level == "cells":
            cursor.execute(_CELLS, [district, code])
        else:
            cursor.execute(_UNITS, [district, int(level)])
        return str(cursor.fetchone()[0])
