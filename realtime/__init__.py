"""TELL: mailboxes and letters, the hub, the sockets."""
