"""Component classes of the newer scheme have three digits; a component names its class by these four columns."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fieldops", "0007_recall_and_expiry_of_a_dispatch"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="eventclass",
            name="class_codes_have_two_digits",
        ),
        migrations.AlterField(
            model_name="eventclass",
            name="minor",
            field=models.CharField(max_length=3, verbose_name="minor class"),
        ),
        migrations.AlterField(
            model_name="responsibilityrule",
            name="minor",
            field=models.CharField(blank=True, max_length=3, verbose_name="minor class"),
        ),
        migrations.AddConstraint(
            model_name="eventclass",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("major__regex", "^\\d{2}$"),
                    models.Q(
                        ("minor__regex", "^\\d{2}$"),
                        models.Q(("kind", "component"), ("minor__regex", "^\\d{3}$")),
                        _connector="OR",
                    ),
                ),
                name="class_codes_have_two_digits_or_a_components_minor_three",
            ),
        ),
        migrations.AddConstraint(
            model_name="eventclass",
            constraint=models.UniqueConstraint(
                fields=("id", "kind", "major", "minor"), name="class_and_its_code"
            ),
        ),
    ]
