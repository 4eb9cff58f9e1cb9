"""Departments are part of the organisation: components name them, and cells' owners are found among them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gridmap", "0002_tree_constraints"),
        ("fieldops", "0003_departments_move_to_gridmap"),
    ]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Department",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("code", models.CharField(max_length=20, verbose_name="code")),
                        ("name", models.CharField(max_length=80, verbose_name="name")),
                        (
                            "name_en",
                            models.CharField(blank=True, max_length=120, verbose_name="English name"),
                        ),
                        (
                            "district",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="departments",
                                to="gridmap.district",
                                verbose_name="district",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "department",
                        "verbose_name_plural": "departments",
                        "ordering": ["code"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("district", "code"),
                                name="a_department_code_is_unique_in_its_district",
                            )
                        ],
                    },
                )
            ]
        )
    ]
