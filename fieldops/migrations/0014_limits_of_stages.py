import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

STAGES = [
    ("accept", "Acceptance"),
    ("dispatch", "Dispatching"),
    ("sign_in", "Taking on"),
    ("verify", "Verification on site"),
    ("check", "Check on site"),
]


class Migration(migrations.Migration):
    """The limit for taking on becomes one stage's limit among others."""

    dependencies = [("fieldops", "0013_an_open_case_lies_in_a_cell_in_force"), ("gridmap", "0010_layouts")]

    operations = [
        pgtrigger.migrations.RemoveTrigger(model_name="takeonlimit", name="insert_insert"),
        pgtrigger.migrations.RemoveTrigger(model_name="takeonlimit", name="update_update"),
        pgtrigger.migrations.RemoveTrigger(model_name="takeonlimit", name="delete_delete"),
        pgtrigger.migrations.RemoveTrigger(model_name="takeonlimitchange", name="append_only"),
        migrations.RemoveConstraint("takeonlimit", "a_district_has_one_take_on_limit_of_each_kind"),
        migrations.RemoveConstraint("takeonlimit", "a_take_on_limit_is_positive"),
        migrations.RenameModel("TakeOnLimit", "StageLimit"),
        migrations.RenameModel("TakeOnLimitChange", "StageLimitChange"),
        migrations.AddField(
            "stagelimit",
            "stage",
            models.CharField("stage", max_length=10, choices=STAGES, default="sign_in"),
            preserve_default=False,
        ),
        migrations.AddField(
            "stagelimitchange",
            "stage",
            models.CharField("stage", max_length=10, choices=STAGES, default="sign_in"),
            preserve_default=False,
        ),
        migrations.AlterModelOptions(
            name="stagelimit",
            options={
                "ordering": ["district", "stage", "urgent"],
                "verbose_name": "limit of a stage",
                "verbose_name_plural": "limits of stages",
            },
        ),
        migrations.AlterField(
            model_name="stagelimit",
            name="district",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="stage_limits",
                to="gridmap.district",
                verbose_name="district",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="stagelimit",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "fieldops_stagelimitchange" ("district_id", "id", "minutes", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "stage", "urgent") SELECT new_values."district_id", new_values."id", new_values."minutes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', new_values."id", new_values."stage", new_values."urgent" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="c233e651f9082e0d4777f4a21d8515162ad18333",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_5c34f",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="fieldops_stagelimit",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="stagelimit",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "fieldops_stagelimitchange" ("district_id", "id", "minutes", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "stage", "urgent") SELECT new_values."district_id", new_values."id", new_values."minutes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', new_values."id", new_values."stage", new_values."urgent" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="cdf245938d7e2e68e0688d3b593e845a4d8fbad6",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_f8512",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="fieldops_stagelimit",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="stagelimit",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "fieldops_stagelimitchange" ("district_id", "id", "minutes", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "stage", "urgent") SELECT old_values."district_id", old_values."id", old_values."minutes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', old_values."id", old_values."stage", old_values."urgent" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;',
                    hash="ea23071db7f0da453f3f9db3de5b946172babcdd",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_9bcb6",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="fieldops_stagelimit",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="stagelimitchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="a2c495c573a8c861a243e2800c859b4ca6a69b7c",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_06678",
                    table="fieldops_stagelimitchange",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="stagelimit",
            constraint=models.UniqueConstraint(
                fields=("district", "stage", "urgent"), name="a_stage_has_one_limit_of_each_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="stagelimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("minutes__gt", 0)), name="a_stage_limit_is_positive"
            ),
        ),
    ]
