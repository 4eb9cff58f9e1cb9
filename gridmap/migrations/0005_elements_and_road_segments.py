"""Elements with their history, people apart, road segments; and what ties them together, which Django cannot declare."""

import django.contrib.gis.db.models.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

KEYS = [
    (
        "element",
        "an_elements_cell_is_of_its_district",
        "cell_id, district_id",
        "gridmap_cell (id, district_id)",
    ),
    (
        "component",
        "a_component_is_an_element_of_its_district",
        "element_id, kind, district_id",
        "gridmap_element (id, kind, district_id)",
    ),
    (
        "component",
        "a_component_code_names_its_class",
        "event_class_id, kind, major, minor",
        "fieldops_eventclass (id, kind, major, minor)",
    ),
    (
        "component",
        "a_managing_department_is_of_the_district",
        "managing_id, district_id",
        "gridmap_department (id, district_id)",
    ),
    (
        "component",
        "an_owning_department_is_of_the_district",
        "owning_id, district_id",
        "gridmap_department (id, district_id)",
    ),
    (
        "component",
        "a_maintaining_department_is_of_the_district",
        "maintaining_id, district_id",
        "gridmap_department (id, district_id)",
    ),
    (
        "person",
        "a_person_is_an_element_of_its_district",
        "element_id, kind, district_id",
        "gridmap_element (id, kind, district_id)",
    ),
    (
        "groupmembership",
        "a_member_is_of_the_district",
        "person_id, district_id",
        "gridmap_person (element_id, district_id)",
    ),
    (
        "groupmembership",
        "a_members_group_is_of_the_district",
        "group_id, district_id",
        "gridmap_specialgroup (id, district_id)",
    ),
    (
        "shop",
        "a_shop_is_an_element_of_its_district",
        "element_id, element_kind, district_id",
        "gridmap_element (id, kind, district_id)",
    ),
    (
        "shop",
        "a_shops_segment_is_of_its_district",
        "segment_id, district_id",
        "gridmap_roadsegment (id, district_id)",
    ),
]
IN_FORCE = """
CREATE FUNCTION gridmap_check_elements_cell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.ended_at IS NULL AND NOT EXISTS
        (SELECT FROM gridmap_cell WHERE id = NEW.cell_id AND valid_to IS NULL) THEN
        RAISE EXCEPTION 'cell % of element % is not in force', NEW.cell_id, NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'an_element_is_placed_in_a_cell_in_force';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER an_element_is_placed_in_a_cell_in_force BEFORE INSERT OR UPDATE OF cell_id ON gridmap_element
    FOR EACH ROW EXECUTE FUNCTION gridmap_check_elements_cell();
"""
IN_FORCE_BACK = """
DROP TRIGGER an_element_is_placed_in_a_cell_in_force ON gridmap_element;
DROP FUNCTION gridmap_check_elements_cell();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0008_component_classes_of_three_digits"),
        ("gridmap", "0004_versions_in_time"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = (
        [
            migrations.CreateModel(
                name="Element",
                fields=[
                    (
                        "id",
                        models.UUIDField(
                            default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                        ),
                    ),
                    (
                        "kind",
                        models.CharField(
                            choices=[
                                ("person", "Person"),
                                ("place", "Place"),
                                ("matter", "Matter"),
                                ("thing", "Thing"),
                                ("situation", "Situation"),
                                ("organisation", "Organisation"),
                                ("component", "Component"),
                            ],
                            max_length=12,
                            verbose_name="kind",
                        ),
                    ),
                    (
                        "category",
                        models.CharField(
                            blank=True,
                            help_text="in the district's own words",
                            max_length=40,
                            verbose_name="category",
                        ),
                    ),
                    ("name", models.CharField(blank=True, max_length=120, verbose_name="name")),
                    (
                        "point",
                        django.contrib.gis.db.models.fields.PointField(
                            blank=True, null=True, srid=4326, verbose_name="place"
                        ),
                    ),
                    ("x", models.FloatField(blank=True, null=True, verbose_name="x as declared")),
                    ("y", models.FloatField(blank=True, null=True, verbose_name="y as declared")),
                    (
                        "system",
                        models.CharField(
                            blank=True, max_length=20, verbose_name="coordinate system as declared"
                        ),
                    ),
                    ("accuracy_m", models.FloatField(blank=True, null=True, verbose_name="accuracy, metres")),
                    (
                        "state",
                        models.CharField(
                            blank=True,
                            choices=[
                                ("intact", "Intact"),
                                ("damaged", "Damaged"),
                                ("missing", "Missing"),
                                ("abandoned", "Abandoned"),
                            ],
                            max_length=10,
                            verbose_name="state",
                        ),
                    ),
                    ("established_on", models.DateField(blank=True, null=True, verbose_name="initial date")),
                    ("changed_on", models.DateField(blank=True, null=True, verbose_name="date of change")),
                    ("source", models.CharField(blank=True, max_length=120, verbose_name="data source")),
                    ("note", models.CharField(blank=True, max_length=500, verbose_name="note")),
                    ("synthetic", models.BooleanField(default=False, verbose_name="generated, not surveyed")),
                    ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="gone since")),
                    (
                        "changed_at",
                        models.DateTimeField(default=django.utils.timezone.now, verbose_name="last change"),
                    ),
                    (
                        "cell",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="elements",
                            to="gridmap.cell",
                            verbose_name="cell",
                        ),
                    ),
                    (
                        "changed_by",
                        models.ForeignKey(
                            null=True,
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to=settings.AUTH_USER_MODEL,
                            verbose_name="changed by",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "element",
                    "verbose_name_plural": "elements",
                    "ordering": ["id"],
                },
            ),
            migrations.AddField(
                model_name="district",
                name="component_code_scheme",
                field=models.CharField(
                    choices=[("6+2+2+6", "6+2+2+6"), ("6+2+3+5", "6+2+3+5")],
                    default="6+2+2+6",
                    help_text="goes with the edition of the classes",
                    max_length=7,
                    verbose_name="scheme of component codes",
                ),
            ),
            migrations.CreateModel(
                name="Component",
                fields=[
                    (
                        "element",
                        models.OneToOneField(
                            on_delete=django.db.models.deletion.CASCADE,
                            primary_key=True,
                            related_name="component",
                            serialize=False,
                            to="gridmap.element",
                            verbose_name="element",
                        ),
                    ),
                    (
                        "kind",
                        models.GeneratedField(
                            db_persist=True,
                            expression=models.Value("component"),
                            output_field=models.CharField(max_length=12),
                        ),
                    ),
                    ("code", models.CharField(max_length=16, unique=True, verbose_name="code")),
                    (
                        "scheme",
                        models.CharField(
                            choices=[("6+2+2+6", "6+2+2+6"), ("6+2+3+5", "6+2+3+5")],
                            max_length=7,
                            verbose_name="scheme of the code",
                        ),
                    ),
                    (
                        "major",
                        models.GeneratedField(
                            db_persist=True,
                            expression=django.db.models.functions.text.Substr("code", 7, 2),
                            output_field=models.CharField(max_length=2, verbose_name="major class"),
                        ),
                    ),
                    (
                        "minor",
                        models.GeneratedField(
                            db_persist=True,
                            expression=models.Case(
                                models.When(
                                    scheme="6+2+3+5",
                                    then=django.db.models.functions.text.Substr("code", 9, 3),
                                ),
                                default=django.db.models.functions.text.Substr("code", 9, 2),
                            ),
                            output_field=models.CharField(max_length=3, verbose_name="minor class"),
                        ),
                    ),
                    (
                        "accuracy_class",
                        models.CharField(
                            choices=[("A", "A: ±0.5 m"), ("B", "B: ±1 m"), ("C", "C: ±10 m")],
                            max_length=1,
                            verbose_name="accuracy class",
                        ),
                    ),
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                    (
                        "event_class",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="components",
                            to="fieldops.eventclass",
                            verbose_name="class",
                        ),
                    ),
                    (
                        "maintaining",
                        models.ForeignKey(
                            blank=True,
                            null=True,
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.department",
                            verbose_name="maintaining department",
                        ),
                    ),
                    (
                        "managing",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.department",
                            verbose_name="managing department",
                        ),
                    ),
                    (
                        "owning",
                        models.ForeignKey(
                            blank=True,
                            null=True,
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.department",
                            verbose_name="owning department",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "component",
                    "verbose_name_plural": "components",
                    "ordering": ["code"],
                },
            ),
            migrations.AddField(
                model_name="element",
                name="district",
                field=models.ForeignKey(
                    on_delete=django.db.models.deletion.PROTECT,
                    related_name="elements",
                    to="gridmap.district",
                    verbose_name="district",
                ),
            ),
            migrations.CreateModel(
                name="ElementVersion",
                fields=[
                    ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                    ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                    ("pgh_label", models.TextField(help_text="The event label.")),
                    (
                        "id",
                        models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, serialize=False),
                    ),
                    (
                        "kind",
                        models.CharField(
                            choices=[
                                ("person", "Person"),
                                ("place", "Place"),
                                ("matter", "Matter"),
                                ("thing", "Thing"),
                                ("situation", "Situation"),
                                ("organisation", "Organisation"),
                                ("component", "Component"),
                            ],
                            max_length=12,
                            verbose_name="kind",
                        ),
                    ),
                    (
                        "category",
                        models.CharField(
                            blank=True,
                            help_text="in the district's own words",
                            max_length=40,
                            verbose_name="category",
                        ),
                    ),
                    ("name", models.CharField(blank=True, max_length=120, verbose_name="name")),
                    ("x", models.FloatField(blank=True, null=True, verbose_name="x as declared")),
                    ("y", models.FloatField(blank=True, null=True, verbose_name="y as declared")),
                    (
                        "system",
                        models.CharField(
                            blank=True, max_length=20, verbose_name="coordinate system as declared"
                        ),
                    ),
                    ("accuracy_m", models.FloatField(blank=True, null=True, verbose_name="accuracy, metres")),
                    (
                        "state",
                        models.CharField(
                            blank=True,
                            choices=[
                                ("intact", "Intact"),
                                ("damaged", "Damaged"),
                                ("missing", "Missing"),
                                ("abandoned", "Abandoned"),
                            ],
                            max_length=10,
                            verbose_name="state",
                        ),
                    ),
                    ("established_on", models.DateField(blank=True, null=True, verbose_name="initial date")),
                    ("changed_on", models.DateField(blank=True, null=True, verbose_name="date of change")),
                    ("source", models.CharField(blank=True, max_length=120, verbose_name="data source")),
                    ("note", models.CharField(blank=True, max_length=500, verbose_name="note")),
                    ("synthetic", models.BooleanField(default=False, verbose_name="generated, not surveyed")),
                    ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="gone since")),
                    (
                        "changed_at",
                        models.DateTimeField(default=django.utils.timezone.now, verbose_name="last change"),
                    ),
                    (
                        "cell",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="gridmap.cell",
                            verbose_name="cell",
                        ),
                    ),
                    (
                        "changed_by",
                        models.ForeignKey(
                            db_constraint=False,
                            null=True,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to=settings.AUTH_USER_MODEL,
                            verbose_name="changed by",
                        ),
                    ),
                    (
                        "district",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                    (
                        "pgh_obj",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            to="gridmap.element",
                        ),
                    ),
                ],
                options={
                    "abstract": False,
                },
            ),
            migrations.CreateModel(
                name="RoadSegment",
                fields=[
                    (
                        "id",
                        models.UUIDField(
                            default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                        ),
                    ),
                    ("code", models.CharField(max_length=30, verbose_name="code")),
                    ("name", models.CharField(max_length=120, verbose_name="name")),
                    ("name_en", models.CharField(blank=True, max_length=120, verbose_name="English name")),
                    (
                        "line",
                        django.contrib.gis.db.models.fields.LineStringField(srid=4326, verbose_name="line"),
                    ),
                    (
                        "reach_m",
                        models.PositiveSmallIntegerField(
                            default=40,
                            validators=[
                                django.core.validators.MinValueValidator(1),
                                django.core.validators.MaxValueValidator(500),
                            ],
                            verbose_name="reach to either side, metres",
                        ),
                    ),
                    ("synthetic", models.BooleanField(default=False, verbose_name="generated, not surveyed")),
                    ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="gone since")),
                    (
                        "changed_at",
                        models.DateTimeField(default=django.utils.timezone.now, verbose_name="last change"),
                    ),
                    (
                        "changed_by",
                        models.ForeignKey(
                            null=True,
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to=settings.AUTH_USER_MODEL,
                            verbose_name="changed by",
                        ),
                    ),
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="road_segments",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "road segment",
                    "verbose_name_plural": "road segments",
                    "ordering": ["code"],
                },
            ),
            migrations.CreateModel(
                name="SpecialGroup",
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
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="special_groups",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "special group",
                    "verbose_name_plural": "special groups",
                    "ordering": ["code"],
                },
            ),
            migrations.CreateModel(
                name="GroupMembership",
                fields=[
                    (
                        "id",
                        models.BigAutoField(
                            auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                        ),
                    ),
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.district",
                        ),
                    ),
                    (
                        "group",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="memberships",
                            to="gridmap.specialgroup",
                        ),
                    ),
                ],
            ),
            migrations.CreateModel(
                name="ComponentVersion",
                fields=[
                    ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                    ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                    ("pgh_label", models.TextField(help_text="The event label.")),
                    ("code", models.CharField(max_length=16, verbose_name="code")),
                    (
                        "accuracy_class",
                        models.CharField(
                            choices=[("A", "A: ±0.5 m"), ("B", "B: ±1 m"), ("C", "C: ±10 m")],
                            max_length=1,
                            verbose_name="accuracy class",
                        ),
                    ),
                    (
                        "event_class",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="fieldops.eventclass",
                            verbose_name="class",
                        ),
                    ),
                    (
                        "maintaining",
                        models.ForeignKey(
                            blank=True,
                            db_constraint=False,
                            null=True,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="gridmap.department",
                            verbose_name="maintaining department",
                        ),
                    ),
                    (
                        "managing",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="gridmap.department",
                            verbose_name="managing department",
                        ),
                    ),
                    (
                        "owning",
                        models.ForeignKey(
                            blank=True,
                            db_constraint=False,
                            null=True,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            related_query_name="+",
                            to="gridmap.department",
                            verbose_name="owning department",
                        ),
                    ),
                    (
                        "pgh_obj",
                        models.ForeignKey(
                            db_constraint=False,
                            on_delete=django.db.models.deletion.DO_NOTHING,
                            related_name="+",
                            to="gridmap.component",
                        ),
                    ),
                ],
                options={
                    "abstract": False,
                },
            ),
            migrations.CreateModel(
                name="Person",
                fields=[
                    (
                        "element",
                        models.OneToOneField(
                            on_delete=django.db.models.deletion.CASCADE,
                            primary_key=True,
                            related_name="person",
                            serialize=False,
                            to="gridmap.element",
                            verbose_name="element",
                        ),
                    ),
                    (
                        "kind",
                        models.GeneratedField(
                            db_persist=True,
                            expression=models.Value("person"),
                            output_field=models.CharField(max_length=12),
                        ),
                    ),
                    ("name", models.CharField(max_length=40, verbose_name="name")),
                    ("phone", models.CharField(blank=True, max_length=30, verbose_name="telephone")),
                    (
                        "birth_year",
                        models.PositiveSmallIntegerField(
                            blank=True,
                            null=True,
                            validators=[django.core.validators.MinValueValidator(1900)],
                            verbose_name="year of birth",
                        ),
                    ),
                    ("address", models.CharField(blank=True, max_length=120, verbose_name="address")),
                    (
                        "point",
                        django.contrib.gis.db.models.fields.PointField(srid=4326, verbose_name="place"),
                    ),
                    ("x", models.FloatField(verbose_name="x as declared")),
                    ("y", models.FloatField(verbose_name="y as declared")),
                    ("system", models.CharField(max_length=20, verbose_name="coordinate system as declared")),
                    ("accuracy_m", models.FloatField(blank=True, null=True, verbose_name="accuracy, metres")),
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                    (
                        "groups",
                        models.ManyToManyField(
                            related_name="people",
                            through="gridmap.GroupMembership",
                            to="gridmap.specialgroup",
                            verbose_name="special groups",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "person of the population",
                    "verbose_name_plural": "population",
                },
            ),
            migrations.AddField(
                model_name="groupmembership",
                name="person",
                field=models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE,
                    related_name="memberships",
                    to="gridmap.person",
                ),
            ),
            migrations.CreateModel(
                name="Shop",
                fields=[
                    (
                        "element",
                        models.OneToOneField(
                            on_delete=django.db.models.deletion.CASCADE,
                            primary_key=True,
                            related_name="shop",
                            serialize=False,
                            to="gridmap.element",
                            verbose_name="element",
                        ),
                    ),
                    (
                        "element_kind",
                        models.CharField(
                            choices=[
                                ("person", "Person"),
                                ("place", "Place"),
                                ("matter", "Matter"),
                                ("thing", "Thing"),
                                ("situation", "Situation"),
                                ("organisation", "Organisation"),
                                ("component", "Component"),
                            ],
                            editable=False,
                            max_length=12,
                        ),
                    ),
                    (
                        "side",
                        models.CharField(
                            choices=[("left", "Left"), ("right", "Right")], max_length=5, verbose_name="side"
                        ),
                    ),
                    (
                        "house_number",
                        models.CharField(blank=True, max_length=20, verbose_name="house number"),
                    ),
                    (
                        "district",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="+",
                            to="gridmap.district",
                            verbose_name="district",
                        ),
                    ),
                    (
                        "segment",
                        models.ForeignKey(
                            on_delete=django.db.models.deletion.PROTECT,
                            related_name="shops",
                            to="gridmap.roadsegment",
                            verbose_name="road segment",
                        ),
                    ),
                ],
                options={
                    "verbose_name": "shop",
                    "verbose_name_plural": "shops",
                    "ordering": ["segment", "side", "house_number"],
                },
            ),
            migrations.AddIndex(
                model_name="element",
                index=models.Index(
                    condition=models.Q(("ended_at__isnull", True)),
                    fields=["cell", "kind"],
                    name="element_by_cell",
                ),
            ),
            migrations.AddConstraint(
                model_name="element",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        (
                            "kind__in",
                            ["person", "place", "matter", "thing", "situation", "organisation", "component"],
                        )
                    ),
                    name="an_element_has_a_known_kind",
                ),
            ),
            migrations.AddConstraint(
                model_name="element",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("kind", "person"), _negated=True),
                        models.Q(
                            ("category", ""),
                            ("name", ""),
                            ("note", ""),
                            ("point__isnull", True),
                            ("source", ""),
                            ("x__isnull", True),
                            ("accuracy_m__isnull", True),
                            ("system", ""),
                            ("y__isnull", True),
                            ("changed_on__isnull", True),
                            ("established_on__isnull", True),
                        ),
                        _connector="OR",
                    ),
                    name="what_tells_of_a_person_stands_apart",
                ),
            ),
            migrations.AddConstraint(
                model_name="element",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        ("kind", "person"),
                        models.Q(
                            ("point__isnull", False),
                            ("system__regex", "^(WGS84|GCJ02|BD09|CGCS2000|EPSG:\\d{4})$"),
                            ("x__isnull", False),
                            ("y__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    name="an_element_has_a_place_and_its_original",
                ),
            ),
            migrations.AddConstraint(
                model_name="element",
                constraint=models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("kind", "component"),
                            ("state__in", ["intact", "damaged", "missing", "abandoned"]),
                        ),
                        models.Q(models.Q(("kind", "component"), _negated=True), ("state", "")),
                        _connector="OR",
                    ),
                    name="exactly_a_component_has_a_state",
                ),
            ),
            migrations.AddConstraint(
                model_name="element",
                constraint=models.UniqueConstraint(
                    fields=("id", "kind", "district"), name="element_kind_and_district"
                ),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="element",
                trigger=pgtrigger.compiler.Trigger(
                    name="insert_insert",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "gridmap_elementversion" ("accuracy_m", "category", "cell_id", "changed_at", "changed_by_id", "changed_on", "district_id", "ended_at", "established_on", "id", "kind", "name", "note", "pgh_created_at", "pgh_label", "pgh_obj_id", "source", "state", "synthetic", "system", "x", "y") SELECT new_values."accuracy_m", new_values."category", new_values."cell_id", new_values."changed_at", new_values."changed_by_id", new_values."changed_on", new_values."district_id", new_values."ended_at", new_values."established_on", new_values."id", new_values."kind", new_values."name", new_values."note", NOW(), \'insert\', new_values."id", new_values."source", new_values."state", new_values."synthetic", new_values."system", new_values."x", new_values."y" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                        hash="22f77d4fc93bcec6b9479e582b847a4621072c97",
                        level="STATEMENT",
                        operation="INSERT",
                        pgid="pgtrigger_insert_insert_9b0a9",
                        referencing="REFERENCING NEW TABLE AS new_values ",
                        table="gridmap_element",
                        when="AFTER",
                    ),
                ),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="element",
                trigger=pgtrigger.compiler.Trigger(
                    name="update_update",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "gridmap_elementversion" ("accuracy_m", "category", "cell_id", "changed_at", "changed_by_id", "changed_on", "district_id", "ended_at", "established_on", "id", "kind", "name", "note", "pgh_created_at", "pgh_label", "pgh_obj_id", "source", "state", "synthetic", "system", "x", "y") SELECT new_values."accuracy_m", new_values."category", new_values."cell_id", new_values."changed_at", new_values."changed_by_id", new_values."changed_on", new_values."district_id", new_values."ended_at", new_values."established_on", new_values."id", new_values."kind", new_values."name", new_values."note", NOW(), \'update\', new_values."id", new_values."source", new_values."state", new_values."synthetic", new_values."system", new_values."x", new_values."y" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."accuracy_m" IS DISTINCT FROM (new_values."accuracy_m") OR old_values."category" IS DISTINCT FROM (new_values."category") OR old_values."cell_id" IS DISTINCT FROM (new_values."cell_id") OR old_values."changed_at" IS DISTINCT FROM (new_values."changed_at") OR old_values."changed_by_id" IS DISTINCT FROM (new_values."changed_by_id") OR old_values."changed_on" IS DISTINCT FROM (new_values."changed_on") OR old_values."district_id" IS DISTINCT FROM (new_values."district_id") OR old_values."ended_at" IS DISTINCT FROM (new_values."ended_at") OR old_values."established_on" IS DISTINCT FROM (new_values."established_on") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."kind" IS DISTINCT FROM (new_values."kind") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."note" IS DISTINCT FROM (new_values."note") OR old_values."source" IS DISTINCT FROM (new_values."source") OR old_values."state" IS DISTINCT FROM (new_values."state") OR old_values."synthetic" IS DISTINCT FROM (new_values."synthetic") OR old_values."system" IS DISTINCT FROM (new_values."system") OR old_values."x" IS DISTINCT FROM (new_values."x") OR old_values."y" IS DISTINCT FROM (new_values."y")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                        hash="9b09e261a2246e6a60c0462dffb32a2046cf0615",
                        level="STATEMENT",
                        operation="UPDATE",
                        pgid="pgtrigger_update_update_d967f",
                        referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                        table="gridmap_element",
                        when="AFTER",
                    ),
                ),
            ),
            migrations.AddIndex(
                model_name="elementversion",
                index=models.Index(fields=["pgh_obj", "pgh_created_at"], name="element_version_by_time"),
            ),
            migrations.AddIndex(
                model_name="elementversion",
                index=models.Index(fields=["cell", "pgh_created_at"], name="element_version_by_cell"),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="elementversion",
                trigger=pgtrigger.compiler.Trigger(
                    name="append_only",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                        hash="a0ad30af59b8dbc0a3031b48b3cb8a9aa8464dad",
                        operation="UPDATE OR DELETE",
                        pgid="pgtrigger_append_only_a0c37",
                        table="gridmap_elementversion",
                        when="BEFORE",
                    ),
                ),
            ),
            migrations.AddConstraint(
                model_name="roadsegment",
                constraint=models.UniqueConstraint(
                    fields=("district", "code"), name="a_segment_code_is_unique_in_its_district"
                ),
            ),
            migrations.AddConstraint(
                model_name="roadsegment",
                constraint=models.CheckConstraint(
                    condition=models.Q(("reach_m__gte", 1), ("reach_m__lte", 500)),
                    name="a_segment_reaches_1_to_500_metres",
                ),
            ),
            migrations.AddConstraint(
                model_name="roadsegment",
                constraint=models.UniqueConstraint(fields=("id", "district"), name="segment_and_district"),
            ),
            migrations.AddConstraint(
                model_name="specialgroup",
                constraint=models.UniqueConstraint(
                    fields=("district", "code"), name="a_special_group_is_unique_in_its_district"
                ),
            ),
            migrations.AddConstraint(
                model_name="specialgroup",
                constraint=models.UniqueConstraint(
                    fields=("id", "district"), name="special_group_and_district"
                ),
            ),
            migrations.AddIndex(
                model_name="componentversion",
                index=models.Index(fields=["pgh_obj", "pgh_created_at"], name="component_version_by_time"),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="componentversion",
                trigger=pgtrigger.compiler.Trigger(
                    name="append_only",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                        hash="a27b7c29bf5a2d7fc1f4962859f7e361e18f84be",
                        operation="UPDATE OR DELETE",
                        pgid="pgtrigger_append_only_865f5",
                        table="gridmap_componentversion",
                        when="BEFORE",
                    ),
                ),
            ),
            migrations.AddConstraint(
                model_name="component",
                constraint=models.CheckConstraint(
                    condition=models.Q(("code__regex", "^[0-9]{16}$")),
                    name="a_component_code_has_sixteen_digits",
                ),
            ),
            migrations.AddConstraint(
                model_name="component",
                constraint=models.CheckConstraint(
                    condition=models.Q(("district", django.db.models.functions.text.Left("code", 6))),
                    name="a_component_code_begins_with_its_district",
                ),
            ),
            migrations.AddConstraint(
                model_name="component",
                constraint=models.CheckConstraint(
                    condition=models.Q(("scheme__in", ["6+2+2+6", "6+2+3+5"])),
                    name="a_component_code_has_a_known_scheme",
                ),
            ),
            migrations.AddConstraint(
                model_name="component",
                constraint=models.CheckConstraint(
                    condition=models.Q(("accuracy_class__in", ["A", "B", "C"])),
                    name="a_component_has_a_known_accuracy_class",
                ),
            ),
            migrations.AddConstraint(
                model_name="component",
                constraint=models.UniqueConstraint(
                    fields=("element", "district"), name="component_and_district"
                ),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="component",
                trigger=pgtrigger.compiler.Trigger(
                    name="insert_insert",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "gridmap_componentversion" ("accuracy_class", "code", "event_class_id", "maintaining_id", "managing_id", "owning_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."accuracy_class", new_values."code", new_values."event_class_id", new_values."maintaining_id", new_values."managing_id", new_values."owning_id", NOW(), \'insert\', new_values."element_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                        hash="de7ed6ec0766ead7c0c0bc380976b81003a4514d",
                        level="STATEMENT",
                        operation="INSERT",
                        pgid="pgtrigger_insert_insert_49d7b",
                        referencing="REFERENCING NEW TABLE AS new_values ",
                        table="gridmap_component",
                        when="AFTER",
                    ),
                ),
            ),
            pgtrigger.migrations.AddTrigger(
                model_name="component",
                trigger=pgtrigger.compiler.Trigger(
                    name="update_update",
                    sql=pgtrigger.compiler.UpsertTriggerSql(
                        func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "gridmap_componentversion" ("accuracy_class", "code", "event_class_id", "maintaining_id", "managing_id", "owning_id", "pgh_created_at", "pgh_label", "pgh_obj_id") SELECT new_values."accuracy_class", new_values."code", new_values."event_class_id", new_values."maintaining_id", new_values."managing_id", new_values."owning_id", NOW(), \'update\', new_values."element_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."element_id") = (new_values."element_id") WHERE (old_values."accuracy_class" IS DISTINCT FROM (new_values."accuracy_class") OR old_values."code" IS DISTINCT FROM (new_values."code") OR old_values."event_class_id" IS DISTINCT FROM (new_values."event_class_id") OR old_values."maintaining_id" IS DISTINCT FROM (new_values."maintaining_id") OR old_values."managing_id" IS DISTINCT FROM (new_values."managing_id") OR old_values."owning_id" IS DISTINCT FROM (new_values."owning_id")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                        hash="389638cc015bd56cc0bd8ede69dfb93665d7aaae",
                        level="STATEMENT",
                        operation="UPDATE",
                        pgid="pgtrigger_update_update_c4f51",
                        referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                        table="gridmap_component",
                        when="AFTER",
                    ),
                ),
            ),
            migrations.AddConstraint(
                model_name="person",
                constraint=models.CheckConstraint(
                    condition=models.Q(("system__regex", "^(WGS84|GCJ02|BD09|CGCS2000|EPSG:\\d{4})$")),
                    name="a_persons_place_names_a_known_system",
                ),
            ),
            migrations.AddConstraint(
                model_name="person",
                constraint=models.UniqueConstraint(
                    fields=("element", "district"), name="person_and_district"
                ),
            ),
            migrations.AddConstraint(
                model_name="groupmembership",
                constraint=models.UniqueConstraint(
                    fields=("person", "group"), name="a_person_is_in_a_group_once"
                ),
            ),
            migrations.AddConstraint(
                model_name="shop",
                constraint=models.CheckConstraint(
                    condition=models.Q(("element_kind__in", ["organisation", "place"])),
                    name="a_shop_is_an_organisation_or_a_place",
                ),
            ),
            migrations.AddConstraint(
                model_name="shop",
                constraint=models.CheckConstraint(
                    condition=models.Q(("side__in", ["left", "right"])), name="a_shop_stands_on_a_side"
                ),
            ),
        ]
        + [
            migrations.RunSQL(
                f"ALTER TABLE gridmap_{table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) "
                f"REFERENCES {target} DEFERRABLE INITIALLY DEFERRED",
                f"ALTER TABLE gridmap_{table} DROP CONSTRAINT {name}",
            )
            for table, name, columns, target in KEYS
        ]
        + [migrations.RunSQL(IN_FORCE, IN_FORCE_BACK)]
    )
