"""Settings, read by a process of its own from an environment of its own."""

import json
import os
import subprocess
import sys

ASK = "import json; from config import settings as s; print(json.dumps([s.SECRET_KEY, s.NOTIFY_WEBHOOK_SECRET]))"


def secrets_under(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if "SECRET" not in name}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=kept | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_secret_that_looks_like_a_reference_is_taken_as_it_is() -> None:
    assert secrets_under(DJANGO_SECRET_KEY="$HOME of secrets") == ["$HOME of secrets"] * 2
    both = secrets_under(DJANGO_SECRET_KEY="one", NOTIFY_WEBHOOK_SECRET="$other")
    assert both == ["one", "$other"]


def test_without_a_key_every_process_makes_its_own() -> None:
    one, other = secrets_under(), secrets_under()
    assert one[0] == one[1] != other[0]
