"""One report's way to closure through the real interfaces, as `scripts/demo --journey` drives it."""

import subprocess
import sys

from tests.doing import Served


def test_from_a_residents_report_to_the_answer(served: Served) -> None:
    command = [sys.executable, "-m", "devstack.journey", "--base-url", served.url]
    done = subprocess.run(command, env=served.env, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in (
        "report",
        "locate",
        "file",
        "assign",
        "dispatch",
        "letter",
        "ack",
        "handle",
        "confirm",
        "close",
    ):
        assert f" {step} " in done.stdout, done.stdout
    assert "closed: 10 steps" in done.stdout


def test_a_journey_that_cannot_reach_the_server_says_so(served: Served) -> None:
    command = [sys.executable, "-m", "devstack.journey", "--base-url", "http://127.0.0.1:9"]
    done = subprocess.run(command, env=served.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "failed:" in done.stdout
