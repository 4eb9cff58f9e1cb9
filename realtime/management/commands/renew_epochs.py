"""After a backup was restored: tell every device that history was lost."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from realtime import doorbell


class Command(BaseCommand):
    help = "Gives every mailbox a new epoch. Run it after restoring a backup, before anybody connects."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as sql:
            # In the order of their keys, as writers lock them.
            sql.execute("SELECT post_id FROM realtime_mailbox ORDER BY post_id FOR UPDATE")
            boxes = [row[0] for row in sql.fetchall()]
            sql.execute("UPDATE realtime_mailbox SET epoch = gen_random_uuid()")
        transaction.on_commit(lambda: doorbell.ring(mailboxes=boxes))
        self.stdout.write(f"{len(boxes)} mailboxes have a new epoch; every device takes a snapshot next.")
