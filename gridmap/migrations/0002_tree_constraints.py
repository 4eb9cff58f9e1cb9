"""What ties cells to the organisation tree, which Django cannot declare: composite foreign keys.

A party group whose chain of three parents ends at a committee can only be of level 5 (5→4→3→1), so the
levels of the four organisations of a cell follow from these keys; the group's is pinned by its own column.
"""

from django.db import migrations

KEYS = [
    ("gridmap_gridunit", "a_parent_has_the_level_it_is_said_to_have", "parent_id, parent_level", "id, level"),
    ("gridmap_gridunit", "a_parent_is_of_the_same_district", "parent_id, district_id", "id, district_id"),
    (
        "gridmap_cell",
        "a_cells_party_group_is_of_its_community",
        "party_group_id, community_id",
        "id, parent_id",
    ),
    ("gridmap_cell", "a_cells_community_is_of_its_street", "community_id, street_id", "id, parent_id"),
    ("gridmap_cell", "a_cells_street_is_of_its_committee", "street_id, committee_id", "id, parent_id"),
    ("gridmap_cell", "a_cells_group_is_of_its_committee", "regional_group_id, committee_id", "id, parent_id"),
    (
        "gridmap_cell",
        "a_cells_group_is_a_regional_group",
        "regional_group_id, regional_group_level",
        "id, level",
    ),
    ("gridmap_cell", "a_cells_committee_is_of_its_district", "committee_id, district_id", "id, district_id"),
]

CODE_SCHEME = """
CREATE FUNCTION gridmap_check_cell_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.code !~ (SELECT cell_code_pattern FROM gridmap_district WHERE code = NEW.district_id) THEN
        RAISE EXCEPTION 'cell code % does not follow the scheme of district %', NEW.code, NEW.district_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'a_cell_code_follows_its_districts_scheme';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_cell_code_follows_its_districts_scheme BEFORE INSERT OR UPDATE OF code ON gridmap_cell
    FOR EACH ROW EXECUTE FUNCTION gridmap_check_cell_code();
"""
CODE_SCHEME_BACK = """
DROP TRIGGER a_cell_code_follows_its_districts_scheme ON gridmap_cell;
DROP FUNCTION gridmap_check_cell_code();
"""


class Migration(migrations.Migration):
    dependencies = [("gridmap", "0001_five_level_grid")]
    operations = [
        migrations.RunSQL(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
            f"REFERENCES gridmap_gridunit ({target}) DEFERRABLE INITIALLY DEFERRED",
            f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        )
        for table, name, columns, target in KEYS
    ] + [
        migrations.RunSQL(CODE_SCHEME, CODE_SCHEME_BACK),
        migrations.RunSQL(
            "ALTER TABLE gridmap_cell ADD CONSTRAINT cell_and_district UNIQUE (id, district_id)",
            "ALTER TABLE gridmap_cell DROP CONSTRAINT cell_and_district",
        ),
    ]
