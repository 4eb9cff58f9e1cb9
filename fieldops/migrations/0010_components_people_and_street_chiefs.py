"""Cases about components, acts on elements, a log of looks at people, chiefs of road segments."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

KEYS = [
    (
        "event",
        "a_cases_component_is_of_its_district",
        "component_id, district_id",
        "gridmap_component (element_id, district_id)",
    ),
    (
        "segmentchief",
        "a_segments_chief_is_a_street_chief_of_its_district",
        "post_id, role, district_id",
        "fieldops_post (id, role, district_id)",
    ),
    (
        "segmentchief",
        "a_chiefs_segment_is_of_its_district",
        "segment_id, district_id",
        "gridmap_roadsegment (id, district_id)",
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0009_extension_deferral_and_void"),
        ("gridmap", "0005_elements_and_road_segments"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessPurpose",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code", models.SlugField(max_length=20, verbose_name="code")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("name_en", models.CharField(blank=True, max_length=80, verbose_name="English name")),
                ("active", models.BooleanField(default=True, verbose_name="may be stated")),
            ],
            options={
                "verbose_name": "purpose of access",
                "verbose_name_plural": "purposes of access",
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="ElementAccess",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "act",
                    models.CharField(
                        choices=[("look_up", "Look up"), ("erase", "Erase")], max_length=8, verbose_name="act"
                    ),
                ),
                ("words", models.CharField(blank=True, max_length=500, verbose_name="in words")),
                ("asked", models.JSONField(default=dict, verbose_name="what was asked")),
                (
                    "people",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), default=list, size=None, verbose_name="who was shown"
                    ),
                ),
                ("refusal", models.CharField(blank=True, max_length=40, verbose_name="refused")),
            ],
            options={
                "verbose_name": "access to people",
                "verbose_name_plural": "accesses to people",
                "ordering": ["-at"],
            },
        ),
        migrations.CreateModel(
            name="ElementSubmission",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "act",
                    models.CharField(
                        choices=[
                            ("add", "Add"),
                            ("change", "Change"),
                            ("mark", "Mark the state"),
                            ("end", "Say that it is gone"),
                        ],
                        max_length=6,
                        verbose_name="act",
                    ),
                ),
                ("digest", models.CharField(max_length=64, verbose_name="SHA-256 of the request")),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason or note")),
                (
                    "device_time",
                    models.DateTimeField(blank=True, null=True, verbose_name="time on the device"),
                ),
                ("received_at", models.DateTimeField(verbose_name="received")),
            ],
            options={
                "verbose_name": "act on an element",
                "verbose_name_plural": "acts on elements",
                "ordering": ["received_at"],
            },
        ),
        migrations.CreateModel(
            name="SegmentChief",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Value("street_chief"),
                        output_field=models.CharField(max_length=20),
                    ),
                ),
                ("since", models.DateTimeField(verbose_name="since")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
            ],
            options={
                "verbose_name": "chief of a road segment",
                "verbose_name_plural": "chiefs of road segments",
            },
        ),
        migrations.AddField(
            model_name="event",
            name="component",
            field=models.ForeignKey(
                blank=True,
                help_text="the case stands where it stands",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="gridmap.component",
                verbose_name="component",
            ),
        ),
        migrations.AddConstraint(
            model_name="post",
            constraint=models.UniqueConstraint(
                fields=("id", "role", "district"), name="post_role_and_district"
            ),
        ),
        migrations.AddField(
            model_name="accesspurpose",
            name="district",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="access_purposes",
                to="gridmap.district",
                verbose_name="district",
            ),
        ),
        migrations.AddField(
            model_name="elementaccess",
            name="by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="by",
            ),
        ),
        migrations.AddField(
            model_name="elementaccess",
            name="post",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="people_accesses",
                to="fieldops.post",
                verbose_name="acting as",
            ),
        ),
        migrations.AddField(
            model_name="elementaccess",
            name="purpose",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="accesses",
                to="fieldops.accesspurpose",
                verbose_name="purpose",
            ),
        ),
        migrations.AddField(
            model_name="elementsubmission",
            name="by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="by",
            ),
        ),
        migrations.AddField(
            model_name="elementsubmission",
            name="element",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="submissions",
                to="gridmap.element",
                verbose_name="element",
            ),
        ),
        migrations.AddField(
            model_name="elementsubmission",
            name="post",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="fieldops.post",
                verbose_name="acting as",
            ),
        ),
        migrations.AddField(
            model_name="segmentchief",
            name="district",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="gridmap.district",
                verbose_name="district",
            ),
        ),
        migrations.AddField(
            model_name="segmentchief",
            name="post",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="segments",
                to="fieldops.post",
                verbose_name="post",
            ),
        ),
        migrations.AddField(
            model_name="segmentchief",
            name="segment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="chiefs",
                to="gridmap.roadsegment",
                verbose_name="road segment",
            ),
        ),
        migrations.AddConstraint(
            model_name="accesspurpose",
            constraint=models.UniqueConstraint(
                fields=("district", "code"), name="a_purpose_is_unique_in_its_district"
            ),
        ),
        migrations.AddIndex(
            model_name="elementaccess",
            index=models.Index(fields=["-at"], name="people_access_newest_first"),
        ),
        migrations.AddConstraint(
            model_name="elementaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("refusal", ""), _negated=True),
                    models.Q(("post__isnull", False), ("words__regex", "[^\\s]")),
                    _connector="OR",
                ),
                name="an_access_has_a_post_and_words",
            ),
        ),
        migrations.AddConstraint(
            model_name="elementaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("refusal", ""), _negated=True),
                    models.Q(("act", "look_up"), _negated=True),
                    ("purpose__isnull", False),
                    _connector="OR",
                ),
                name="a_look_up_has_a_purpose",
            ),
        ),
        migrations.AddConstraint(
            model_name="elementaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(("refusal", ""), ("people", []), _connector="OR"),
                name="a_refused_access_shows_nobody",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="elementaccess",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="ff356f314acd649651a008a130788ece2f918ffa",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_53c34",
                    table="fieldops_elementaccess",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="elementsubmission",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="dce71cac1baf72602a2d3a0fc5a8fb324dd7e305",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_815ac",
                    table="fieldops_elementsubmission",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="segmentchief",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("until__isnull", True), ("until__gt", models.F("since")), _connector="OR"
                ),
                name="a_chief_ends_after_beginning",
            ),
        ),
        migrations.AddConstraint(
            model_name="segmentchief",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    ("segment", "="),
                    (
                        models.Func(
                            "since",
                            "until",
                            function="tstzrange",
                            output_field=django.contrib.postgres.fields.ranges.DateTimeRangeField(),
                        ),
                        "&&",
                    ),
                ],
                name="a_segment_has_one_chief_at_a_time",
            ),
        ),
    ] + [
        migrations.RunSQL(
            f"ALTER TABLE fieldops_{table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
            f"REFERENCES {target} DEFERRABLE INITIALLY DEFERRED",
            f"ALTER TABLE fieldops_{table} DROP CONSTRAINT {name}",
        )
        for table, name, columns, target in KEYS
    ]
