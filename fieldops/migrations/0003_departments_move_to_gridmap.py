"""The table of departments goes where the organisation lives; rows and keys stay as they are."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("fieldops", "0002_what_django_cannot_declare")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE fieldops_department RENAME TO gridmap_department",
                    "ALTER TABLE gridmap_department RENAME TO fieldops_department",
                )
            ]
        )
    ]
