"""Posts, rules, cases and work orders name the departments where they are now."""

import django.db.models.deletion
from django.db import migrations, models


def _to_gridmap(model: str, related_name: str, verbose_name: str, **options: bool) -> migrations.AlterField:
    return migrations.AlterField(
        model_name=model,
        name="department",
        field=models.ForeignKey(
            on_delete=django.db.models.deletion.PROTECT,
            related_name=related_name,
            to="gridmap.department",
            verbose_name=verbose_name,
            **options,
        ),
    )


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0003_departments_move_to_gridmap"),
        ("gridmap", "0003_departments_arrive"),
    ]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                _to_gridmap("post", "posts", "department", null=True, blank=True),
                _to_gridmap("responsibilityrule", "rules", "department"),
                _to_gridmap("event", "events", "responsible department", null=True, blank=True),
                _to_gridmap("workorder", "work_orders", "department"),
                migrations.DeleteModel("Department"),
            ]
        )
    ]
