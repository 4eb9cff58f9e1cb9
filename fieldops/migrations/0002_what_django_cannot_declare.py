"""Case numbers, an append-only history, and rows that cannot cross from one district into another."""

from django.db import migrations

NUMBER = """
CREATE SEQUENCE fieldops_case_number;
CREATE FUNCTION fieldops_number_case() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    serial text := nextval('fieldops_case_number')::text;
BEGIN
    NEW.number := to_char(
        NEW.received_at AT TIME ZONE (SELECT time_zone FROM gridmap_district WHERE code = NEW.district_id),
        'YYYYMMDD') || lpad(serial, greatest(6, length(serial)), '0');
    RETURN NEW;
END $$;
CREATE TRIGGER a_case_gets_its_number BEFORE INSERT ON fieldops_event
    FOR EACH ROW EXECUTE FUNCTION fieldops_number_case();
"""
NUMBER_BACK = """
DROP TRIGGER a_case_gets_its_number ON fieldops_event;
DROP FUNCTION fieldops_number_case();
DROP SEQUENCE fieldops_case_number;
"""
APPEND_ONLY = """
CREATE FUNCTION fieldops_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transitions are append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE ON fieldops_transition
    FOR EACH ROW EXECUTE FUNCTION fieldops_refuse_rewriting();
"""
APPEND_ONLY_BACK = """
DROP TRIGGER history_is_append_only ON fieldops_transition;
DROP FUNCTION fieldops_refuse_rewriting();
"""
KEYS = [
    ("fieldops_post", "a_posts_area_is_of_its_district", "unit_id", "gridmap_gridunit"),
    ("fieldops_post", "a_posts_department_is_of_its_district", "department_id", "fieldops_department"),
    ("fieldops_responsibilityrule", "a_rules_area_is_of_its_district", "unit_id", "gridmap_gridunit"),
    (
        "fieldops_responsibilityrule",
        "a_rules_department_is_of_its_district",
        "department_id",
        "fieldops_department",
    ),
    ("fieldops_event", "a_cases_cell_is_of_its_district", "cell_id", "gridmap_cell"),
    ("fieldops_event", "a_cases_department_is_of_its_district", "department_id", "fieldops_department"),
]


class Migration(migrations.Migration):
    dependencies = [("fieldops", "0001_people_rules_and_cases"), ("gridmap", "0002_tree_constraints")]
    operations = [
        migrations.RunSQL(NUMBER, NUMBER_BACK),
        migrations.RunSQL(APPEND_ONLY, APPEND_ONLY_BACK),
        migrations.RunSQL(
            "ALTER TABLE fieldops_department ADD CONSTRAINT department_and_district UNIQUE (id, district_id)",
            "ALTER TABLE fieldops_department DROP CONSTRAINT department_and_district",
        ),
    ] + [
        migrations.RunSQL(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}, district_id) "
            f"REFERENCES {target} (id, district_id) DEFERRABLE INITIALLY DEFERRED",
            f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        )
        for table, name, column, target in KEYS
    ]
