"""Shapes drawn ahead for tiles, and triggers that note which layers change.

The triggers see what a statement touched, in the transaction of the change, whoever makes it.
"""

import django.contrib.gis.db.models.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

NOTE = """
CREATE FUNCTION gridmap_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gridmap_layerchange (district, layer, times)
    SELECT DISTINCT district_id, TG_ARGV[0], 1 FROM touched;
    RETURN NULL;
END $$;
"""
NOTED = [
    ("gridmap_cell", "grid"),
    ("gridmap_gridunit", "grid"),
    ("gridmap_roadsegment", "road-segments"),
    ("gridmap_element", "elements"),
    ("gridmap_component", "elements"),
]


def note(table, layer, event, rows):
    name = f"a_changed_layer_is_noted_{event.lower()}"
    return migrations.RunSQL(
        f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {rows} TABLE AS touched "
        f"FOR EACH STATEMENT EXECUTE FUNCTION gridmap_note_change('{layer}')",
        f"DROP TRIGGER {name} ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("gridmap", "0006_nearest_cell"),
    ]

    operations = [
        migrations.CreateModel(
            name="Drawing",
            fields=[
                (
                    "district",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="drawing",
                        serialize=False,
                        to="gridmap.district",
                        verbose_name="district",
                    ),
                ),
                ("version", models.BigIntegerField(verbose_name="version")),
                ("cells_from", models.PositiveSmallIntegerField(verbose_name="cells are drawn from zoom")),
                ("drawn_at", models.DateTimeField(auto_now=True, verbose_name="drawn")),
            ],
            options={
                "verbose_name": "drawn grid",
                "verbose_name_plural": "drawn grids",
            },
        ),
        migrations.CreateModel(
            name="LayerChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("district", models.CharField(max_length=6, verbose_name="district")),
                ("layer", models.CharField(max_length=20, verbose_name="layer")),
                ("times", models.BigIntegerField(default=1, verbose_name="times")),
            ],
            options={
                "verbose_name": "change of a layer",
                "verbose_name_plural": "changes of layers",
                "indexes": [
                    models.Index(fields=["district", "layer"], include=("times",), name="changes_of_a_layer")
                ],
            },
        ),
        migrations.CreateModel(
            name="Shape",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("level", models.PositiveSmallIntegerField(verbose_name="level")),
                ("zoom", models.PositiveSmallIntegerField(verbose_name="zoom")),
                ("code", models.CharField(max_length=20, verbose_name="code")),
                ("name", models.CharField(blank=True, max_length=80, verbose_name="name")),
                ("name_en", models.CharField(blank=True, max_length=120, verbose_name="English name")),
                (
                    "outline",
                    django.contrib.gis.db.models.fields.GeometryField(
                        spatial_index=False, srid=3857, verbose_name="outline"
                    ),
                ),
                (
                    "label",
                    django.contrib.gis.db.models.fields.PointField(
                        spatial_index=False, srid=3857, verbose_name="place of the label"
                    ),
                ),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="gridmap.district"
                    ),
                ),
            ],
            options={
                "verbose_name": "drawn shape",
                "verbose_name_plural": "drawn shapes",
                "indexes": [
                    django.contrib.postgres.indexes.GistIndex(
                        fields=["level", "zoom", "outline"], name="shape_by_zoom_and_place"
                    )
                ],
            },
        ),
        migrations.RunSQL(NOTE, "DROP FUNCTION gridmap_note_change()"),
    ] + [
        note(table, layer, event, rows)
        for table, layer in NOTED
        for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    ]
