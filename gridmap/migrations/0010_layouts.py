"""Drafts of boundaries; and what is in force stands on what is in force, by foreign keys that bind the present alone."""

import django.contrib.gis.db.models.fields
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

KEYS = [
    ("gridmap_gridunit", "a_unit_in_force_stands_below_one_in_force", "parent_id"),
    ("gridmap_cell", "a_cell_in_force_names_a_party_group_in_force", "party_group_id"),
    ("gridmap_cell", "a_cell_in_force_names_a_regional_group_in_force", "regional_group_id"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("gridmap", "0009_imports"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Layout",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("title", models.CharField(max_length=120, verbose_name="title")),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("applied", "In force"), ("discarded", "Discarded")],
                        default="draft",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("tolerance_m", models.FloatField(default=0.05, verbose_name="tolerance, metres")),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="made")),
                (
                    "takes_effect_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="empty: when somebody puts it in force",
                        null=True,
                        verbose_name="takes effect",
                    ),
                ),
                ("refusal", models.TextField(blank=True, verbose_name="why it was refused")),
                (
                    "settled_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="put in force or discarded"),
                ),
                ("effects", models.JSONField(blank=True, default=dict, verbose_name="what it moved")),
            ],
            options={
                "verbose_name": "layout",
                "verbose_name_plural": "layouts",
                "ordering": ["-made_at"],
            },
        ),
        migrations.CreateModel(
            name="LayoutCell",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code", models.CharField(max_length=20, verbose_name="code")),
                ("party_group", models.CharField(max_length=20, verbose_name="grid party group")),
                ("regional_group", models.CharField(max_length=20, verbose_name="regional group")),
                ("lineage", models.UUIDField(verbose_name="identity across versions")),
                (
                    "former",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        default=list,
                        size=None,
                        verbose_name="former codes",
                    ),
                ),
                (
                    "boundary",
                    django.contrib.gis.db.models.fields.PolygonField(srid=4326, verbose_name="boundary"),
                ),
                ("synthetic", models.BooleanField(default=False, verbose_name="generated, not surveyed")),
            ],
            options={
                "verbose_name": "cell of a layout",
                "verbose_name_plural": "cells of a layout",
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="LayoutUnit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "change",
                    models.CharField(
                        choices=[
                            ("begin", "Begins"),
                            ("describe", "Is described anew"),
                            ("dissolve", "Is dissolved"),
                        ],
                        max_length=10,
                        verbose_name="change",
                    ),
                ),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (1, "District committee"),
                            (2, "Regional-group committee"),
                            (3, "Street or town committee"),
                            (4, "Community (village) organisation"),
                            (5, "Grid party group"),
                        ],
                        verbose_name="level",
                    ),
                ),
                ("code", models.CharField(max_length=20, verbose_name="code")),
                ("name", models.CharField(max_length=80, verbose_name="name of the organisation")),
                ("area_name", models.CharField(max_length=80, verbose_name="name of the area")),
                ("name_en", models.CharField(blank=True, max_length=120, verbose_name="English name")),
                ("parent", models.CharField(blank=True, max_length=20, verbose_name="organisation above")),
                (
                    "former",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        default=list,
                        size=None,
                        verbose_name="former codes",
                    ),
                ),
                (
                    "boundary",
                    django.contrib.gis.db.models.fields.MultiPolygonField(srid=4326, verbose_name="boundary"),
                ),
                ("virtual", models.BooleanField(default=False, verbose_name="virtual unit")),
                ("synthetic", models.BooleanField(default=False, verbose_name="generated, not surveyed")),
            ],
            options={
                "verbose_name": "organisation of a layout",
                "verbose_name_plural": "organisations of a layout",
                "ordering": ["level", "code"],
            },
        ),
        migrations.AddField(
            model_name="cell",
            name="in_force",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(models.When(then=models.Value(True), valid_to__isnull=True)),
                output_field=models.BooleanField(null=True),
            ),
        ),
        migrations.AddField(
            model_name="gridunit",
            name="in_force",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(models.When(then=models.Value(True), valid_to__isnull=True)),
                output_field=models.BooleanField(null=True),
            ),
        ),
        migrations.AddConstraint(
            model_name="cell",
            constraint=models.UniqueConstraint(fields=("id", "in_force"), name="cell_in_force"),
        ),
        migrations.AddConstraint(
            model_name="gridunit",
            constraint=models.UniqueConstraint(fields=("id", "in_force"), name="unit_in_force"),
        ),
        migrations.AddField(
            model_name="layout",
            name="district",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="layouts",
                to="gridmap.district",
                verbose_name="district",
            ),
        ),
        migrations.AddField(
            model_name="layout",
            name="ends",
            field=models.ManyToManyField(
                related_name="ended_by", to="gridmap.cell", verbose_name="cells that end"
            ),
        ),
        migrations.AddField(
            model_name="layout",
            name="made_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="made by",
            ),
        ),
        migrations.AddField(
            model_name="layout",
            name="settled_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="put in force or discarded by",
            ),
        ),
        migrations.AddField(
            model_name="layoutcell",
            name="layout",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="cells",
                to="gridmap.layout",
                verbose_name="layout",
            ),
        ),
        migrations.AddField(
            model_name="layoutcell",
            name="cell",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="begun_by",
                to="gridmap.cell",
                verbose_name="cell",
            ),
        ),
        migrations.AddField(
            model_name="layoutunit",
            name="layout",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="units",
                to="gridmap.layout",
                verbose_name="layout",
            ),
        ),
        migrations.AddField(
            model_name="layoutunit",
            name="unit",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="gridmap.gridunit",
                verbose_name="grid organisation",
            ),
        ),
        migrations.AddIndex(
            model_name="layout",
            index=models.Index(
                condition=models.Q(("state", "draft")), fields=["takes_effect_at"], name="layouts_to_come"
            ),
        ),
        migrations.AddConstraint(
            model_name="layout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("settled_at__isnull", True), ("state", "draft")),
                    models.Q(("settled_at__isnull", False), ("state__in", ["applied", "discarded"])),
                    _connector="OR",
                ),
                name="a_layout_is_settled_at_a_moment",
            ),
        ),
        migrations.AddConstraint(
            model_name="layout",
            constraint=models.CheckConstraint(
                condition=models.Q(("tolerance_m__gte", 0)), name="a_tolerance_is_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="layoutcell",
            constraint=models.UniqueConstraint(
                fields=("layout", "code"), name="a_layout_begins_a_cell_code_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="layoutunit",
            constraint=models.UniqueConstraint(
                fields=("layout", "code"), name="a_layout_changes_a_unit_once"
            ),
        ),
    ] + [
        migrations.RunSQL(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}, in_force) "
            "REFERENCES gridmap_gridunit (id, in_force) DEFERRABLE INITIALLY DEFERRED",
            f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        )
        for table, name, column in KEYS
    ]
