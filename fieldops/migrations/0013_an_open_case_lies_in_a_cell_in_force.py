"""No case is taken in, or moved, into a cell that ended meanwhile: a foreign key on (cell, open) sees to it."""

from django.db import migrations, models

KEY = """
ALTER TABLE fieldops_event ADD CONSTRAINT an_open_case_lies_in_a_cell_in_force
FOREIGN KEY (cell_id, is_open) REFERENCES gridmap_cell (id, in_force) DEFERRABLE INITIALLY IMMEDIATE
"""


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0012_history_of_rules"),
        ("gridmap", "0010_layouts"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="is_open",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        models.Q(
                            ("status__in", ["closed", "declined", "not_filed", "voided"]), _negated=True
                        ),
                        then=models.Value(True),
                    )
                ),
                output_field=models.BooleanField(null=True),
            ),
        ),
        migrations.RunSQL(
            KEY, "ALTER TABLE fieldops_event DROP CONSTRAINT an_open_case_lies_in_a_cell_in_force"
        ),
    ]
