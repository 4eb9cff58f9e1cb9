"""Runs the project on one machine: private PostgreSQL and Redis, the processes, one address.

Everything lives under `var/`. Only `prepare` imports Django; the rest needs the standard library and rich,
and talks to the project as an administrator would: by commands, environment variables and signals.
"""
