"""Whoever changes a log-in, an account or a post, and with whatever tool: PostgreSQL tells the hubs at its commit.

These tables change rarely, so NOTIFY's lock at commit slows nothing that is hot.
"""

from django.db import migrations

TELL = """
CREATE FUNCTION realtime_tell_of_rights() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'django_session' THEN -- whose it is cannot be read here, and its key is a secret
        PERFORM pg_notify('rights_changed',
            'session:' || encode(sha256(convert_to(OLD.session_key, 'UTF8')), 'hex'));
    WHEN 'fieldops_user' THEN
        PERFORM pg_notify('rights_changed', 'person:' || OLD.id);
    WHEN 'fieldops_post' THEN
        PERFORM pg_notify('rights_changed', 'person:' || h.user_id)
        FROM fieldops_holding h WHERE h.post_id = OLD.id;
    ELSE -- knox_authtoken, fieldops_holding
        IF TG_OP <> 'INSERT' THEN
            PERFORM pg_notify('rights_changed', 'person:' || OLD.user_id);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            PERFORM pg_notify('rights_changed', 'person:' || NEW.user_id);
        END IF;
    END CASE;
    RETURN NULL;
END $$;
CREATE TRIGGER a_holding_that_changes_is_told AFTER INSERT OR UPDATE OR DELETE ON fieldops_holding
    FOR EACH ROW EXECUTE FUNCTION realtime_tell_of_rights();
CREATE TRIGGER a_post_that_changes_is_told AFTER UPDATE ON fieldops_post
    FOR EACH ROW EXECUTE FUNCTION realtime_tell_of_rights();
CREATE TRIGGER an_account_that_changes_is_told AFTER UPDATE ON fieldops_user FOR EACH ROW
    WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active OR OLD.password IS DISTINCT FROM NEW.password)
    EXECUTE FUNCTION realtime_tell_of_rights();
CREATE TRIGGER a_session_that_goes_is_told AFTER DELETE ON django_session
    FOR EACH ROW EXECUTE FUNCTION realtime_tell_of_rights();
CREATE TRIGGER a_token_that_goes_is_told AFTER DELETE OR UPDATE ON knox_authtoken
    FOR EACH ROW EXECUTE FUNCTION realtime_tell_of_rights();
"""
BACK = """
DROP TRIGGER a_session_that_goes_is_told ON django_session;
DROP TRIGGER a_token_that_goes_is_told ON knox_authtoken;
DROP TRIGGER an_account_that_changes_is_told ON fieldops_user;
DROP TRIGGER a_post_that_changes_is_told ON fieldops_post;
DROP TRIGGER a_holding_that_changes_is_told ON fieldops_holding;
DROP FUNCTION realtime_tell_of_rights();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0002_letters_of_recall_and_expiry"),
        ("fieldops", "0002_what_django_cannot_declare"),
        ("sessions", "0001_initial"),
        ("knox", "0009_extend_authtoken_field"),
    ]
    operations = [migrations.RunSQL(TELL, BACK)]
