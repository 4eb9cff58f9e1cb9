"""People on duty, their tracks in partitions by day, and who read them."""

import django.contrib.gis.db.models.fields
import django.db.models.deletion
import django.db.models.functions.math
import django.db.models.lookups
from django.conf import settings
from django.db import migrations, models

# Django declares no partitions. They are made by `realtime.tracks`, one a day (UTC) of `fix_at`.
TRACK = """
CREATE TABLE realtime_trackpoint (
    shift_id uuid NOT NULL REFERENCES realtime_shift (id) DEFERRABLE INITIALLY DEFERRED,
    fix_at timestamptz NOT NULL,
    device_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    point geometry(Point, 4326) NOT NULL,
    x double precision NOT NULL,
    y double precision NOT NULL,
    system varchar(20) NOT NULL,
    accuracy_m double precision,
    battery smallint,
    mock boolean NOT NULL,
    jump boolean NOT NULL,
    PRIMARY KEY (shift_id, fix_at, device_id),
    CONSTRAINT a_battery_is_full_at_100 CHECK (battery BETWEEN 0 AND 100),
    CONSTRAINT an_accuracy_is_a_radius CHECK (accuracy_m >= 0),
    CONSTRAINT a_fix_names_its_coordinate_system CHECK (system ~ '^(WGS84|GCJ02|BD09|CGCS2000|EPSG:\\d{4})$')
) PARTITION BY RANGE (fix_at)
"""
APPEND_ONLY = """
CREATE FUNCTION realtime_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'accesses to tracks are append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER accesses_are_append_only BEFORE UPDATE OR DELETE ON realtime_trackaccess
    FOR EACH ROW EXECUTE FUNCTION realtime_refuse_rewriting();
"""
APPEND_ONLY_BACK = """
DROP TRIGGER accesses_are_append_only ON realtime_trackaccess;
DROP FUNCTION realtime_refuse_rewriting();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0007_recall_and_expiry_of_a_dispatch"),
        ("gridmap", "0004_versions_in_time"),
        ("realtime", "0005_proof_of_delivery"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Shift",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField(verbose_name="clocked in")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="clocked out")),
                ("forgotten", models.BooleanField(default=False, verbose_name="ended by the system")),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="shifts",
                        to="fieldops.post",
                        verbose_name="post",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="shifts",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "shift",
                "verbose_name_plural": "shifts",
                "ordering": ["-started_at"],
            },
        ),
        migrations.CreateModel(
            name="AreaCrossing",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "shift_id", "number", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "entered",
                    models.GeneratedField(
                        db_persist=True,
                        expression=django.db.models.lookups.Exact(
                            django.db.models.functions.math.Mod(models.F("number"), 2), 1
                        ),
                        output_field=models.BooleanField(),
                    ),
                ),
                ("at", models.DateTimeField()),
                ("point", django.contrib.gis.db.models.fields.PointField(spatial_index=False, srid=4326)),
                ("accuracy_m", models.FloatField()),
                (
                    "shift",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="crossings",
                        to="realtime.shift",
                    ),
                ),
            ],
            options={
                "verbose_name": "crossing of the border",
                "verbose_name_plural": "crossings of the border",
            },
        ),
        migrations.CreateModel(
            name="TrackAccess",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(verbose_name="when")),
                ("purpose", models.CharField(max_length=200, verbose_name="purpose")),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="track_accesses",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="track_accesses",
                        to="fieldops.post",
                        verbose_name="acting as",
                    ),
                ),
                (
                    "shift",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="accesses",
                        to="realtime.shift",
                        verbose_name="shift",
                    ),
                ),
            ],
            options={
                "verbose_name": "access to a track",
                "verbose_name_plural": "accesses to tracks",
                "ordering": ["-at"],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(TRACK, "DROP TABLE realtime_trackpoint")],
            state_operations=[
                migrations.CreateModel(
                    name="TrackPoint",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "shift_id",
                                "fix_at",
                                "device_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("device_id", models.UUIDField()),
                        ("fix_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        (
                            "point",
                            django.contrib.gis.db.models.fields.PointField(spatial_index=False, srid=4326),
                        ),
                        ("x", models.FloatField()),
                        ("y", models.FloatField()),
                        ("system", models.CharField(max_length=20)),
                        ("accuracy_m", models.FloatField(null=True)),
                        ("battery", models.PositiveSmallIntegerField(null=True)),
                        ("mock", models.BooleanField()),
                        ("jump", models.BooleanField()),
                        (
                            "shift",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="track",
                                to="realtime.shift",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "point of a track",
                        "verbose_name_plural": "points of tracks",
                    },
                ),
                migrations.AddConstraint(
                    model_name="trackpoint",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("battery__isnull", True), ("battery__lte", 100), _connector="OR"),
                        name="a_battery_is_full_at_100",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="trackpoint",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            ("accuracy_m__isnull", True), ("accuracy_m__gte", 0), _connector="OR"
                        ),
                        name="an_accuracy_is_a_radius",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="trackpoint",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("system__regex", "^(WGS84|GCJ02|BD09|CGCS2000|EPSG:\\d{4})$")),
                        name="a_fix_names_its_coordinate_system",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TrackPolicy",
            fields=[
                (
                    "district",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="track_policy",
                        serialize=False,
                        to="gridmap.district",
                        verbose_name="district",
                    ),
                ),
                (
                    "keep_days",
                    models.PositiveSmallIntegerField(default=90, verbose_name="tracks are kept, days"),
                ),
                (
                    "longest_shift_hours",
                    models.PositiveSmallIntegerField(
                        default=14,
                        help_text="a shift nobody ended is ended by then",
                        verbose_name="longest shift, hours",
                    ),
                ),
                (
                    "impossible_speed_kmh",
                    models.PositiveSmallIntegerField(
                        default=150,
                        help_text="a faster jump between two fixes is flagged",
                        verbose_name="impossible speed, km/h",
                    ),
                ),
            ],
            options={
                "verbose_name": "policy for tracks",
                "verbose_name_plural": "policies for tracks",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("keep_days__gte", 1), ("keep_days__lte", 730)),
                        name="tracks_are_kept_a_day_to_two_years",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("longest_shift_hours__gte", 1), ("longest_shift_hours__lte", 24)),
                        name="a_shift_lasts_a_day_at_most",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("impossible_speed_kmh__gte", 20)),
                        name="an_impossible_speed_is_faster_than_walking",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="shift",
            index=models.Index(fields=["user", "-started_at"], name="shift_by_person"),
        ),
        migrations.AddIndex(
            model_name="shift",
            index=models.Index(fields=["post", "-started_at"], name="shift_by_post"),
        ),
        migrations.AddConstraint(
            model_name="shift",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("user",),
                name="a_person_is_on_one_shift_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="shift",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ended_at__isnull", True), ("ended_at__gte", models.F("started_at")), _connector="OR"
                ),
                name="a_shift_ends_after_it_began",
            ),
        ),
        migrations.AddConstraint(
            model_name="shift",
            constraint=models.CheckConstraint(
                condition=models.Q(("forgotten", False), ("ended_at__isnull", False), _connector="OR"),
                name="only_an_ended_shift_was_forgotten",
            ),
        ),
        migrations.AddConstraint(
            model_name="areacrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(("number__gte", 1)), name="crossings_count_from_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="trackaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__regex", "\\S\\s*\\S")),
                name="a_track_is_read_for_a_stated_purpose",
            ),
        ),
        migrations.RunSQL(APPEND_ONLY, APPEND_ONLY_BACK),
    ]
