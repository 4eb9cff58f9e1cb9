"""Cells become versions in time, units can end; the cells there are began when they were loaded."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.utils.timezone
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gridmap", "0003_departments_arrive"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="cell",
            name="a_cell_code_is_unique_in_its_district",
        ),
        migrations.AddField(
            model_name="cell",
            name="lineage",
            field=models.UUIDField(
                default=uuid_utils.compat.uuid7, editable=False, verbose_name="identity across versions"
            ),
        ),
        # One default serves all rows of a table that is altered: the cells there are begin their own lineages.
        migrations.RunSQL("UPDATE gridmap_cell SET lineage = id", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="cell",
            name="valid_from",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="in force from"),
        ),
        migrations.AddField(
            model_name="cell",
            name="valid_to",
            field=models.DateTimeField(blank=True, null=True, verbose_name="in force until"),
        ),
        migrations.AddField(
            model_name="gridunit",
            name="valid_from",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="in force from"),
        ),
        migrations.AddField(
            model_name="gridunit",
            name="valid_to",
            field=models.DateTimeField(blank=True, null=True, verbose_name="in force until"),
        ),
        migrations.AddConstraint(
            model_name="cell",
            constraint=models.UniqueConstraint(
                condition=models.Q(("valid_to__isnull", True)),
                fields=("district", "code"),
                name="a_cell_code_is_unique_in_its_district",
            ),
        ),
        migrations.AddConstraint(
            model_name="cell",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to__isnull", True), ("valid_to__gt", models.F("valid_from")), _connector="OR"
                ),
                name="a_cell_version_ends_after_it_began",
            ),
        ),
        migrations.AddConstraint(
            model_name="cell",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    ("district", "="),
                    ("code", "="),
                    (
                        models.Func(
                            "valid_from",
                            "valid_to",
                            function="tstzrange",
                            output_field=django.contrib.postgres.fields.ranges.DateTimeRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="a_cell_code_means_one_cell_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="cell",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    ("lineage", "="),
                    (
                        models.Func(
                            "valid_from",
                            "valid_to",
                            function="tstzrange",
                            output_field=django.contrib.postgres.fields.ranges.DateTimeRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="a_cell_has_one_version_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="gridunit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to__isnull", True), ("valid_to__gt", models.F("valid_from")), _connector="OR"
                ),
                name="a_unit_ends_after_it_began",
            ),
        ),
    ]
