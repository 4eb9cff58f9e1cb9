"""The table of states: what `test_steps_matrix` does not look at, because no single state, step and role shows it."""

from pathlib import Path

import pytest
from django.utils import timezone

from fieldops.errors import IllegalTransition, ReasonMissing
from fieldops.lifecycle import SYSTEM, take_step
from fieldops.management.commands.print_steps import steps_for_people
from fieldops.models import Event
from fieldops.rights import may
from fieldops.status import FINAL, PHASE, TABLE, Role, Status, Step

# While a request is pending: what answers it, and nothing else may be asked for.
WORK = {
    "handle": "handled",
    "send_back": "filed",
    "recall": "assigned",
    "move_cell": "taken_on",
    "void": "voided",
    **dict.fromkeys(("supervise", "answer", "reckon", "rate", "expire"), "taken_on"),
    **dict.fromkeys(("assist", "whistle", "release", "reclassify", "lead_handle"), "taken_on"),
    **dict.fromkeys(("assist_take_on", "arrive", "assist_handle", "assist_back"), "taken_on"),
    "close_specially": "closed",
    **dict.fromkeys(("reply", "join"), "taken_on"),
}
PENDING = {
    "extend": {**WORK, "extend": "taken_on", "refuse": "taken_on"},
    "defer": {**WORK, "defer": "deferred", "refuse": "taken_on"},
}


def test_a_case_begins_with_its_report_and_with_nothing_else() -> None:
    for step in Step:
        event = Event(status="", version=0)
        if step == Step.REPORT:
            assert take_step(event, step, actor=SYSTEM, at=timezone.now()).to_status == "reported"
        else:
            with pytest.raises(IllegalTransition):
                take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="words")


@pytest.mark.parametrize("step", list(Step), ids=str)
@pytest.mark.parametrize("asked_for", PENDING)
def test_a_pending_request_is_answered_by_the_right_steps_alone(asked_for: str, step: Step) -> None:
    event = Event(status="taken_on", asked_for=asked_for, version=3)
    expected = PENDING[asked_for].get(step.value)
    if expected is None:
        with pytest.raises(IllegalTransition):
            take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="words")
        assert (event.status, event.asked_for) == ("taken_on", asked_for)
    else:
        take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="words")
        still_asked = asked_for if TABLE[step].target is None and not TABLE[step].answers else ""
        assert (event.status, event.asked_for) == (expected, still_asked)


@pytest.mark.parametrize("step", [step for step in Step if TABLE[step].needs_reason], ids=str)
def test_a_step_that_turns_someone_away_says_why(step: Step) -> None:
    [*sources] = TABLE[step].sources
    pending = next(iter(TABLE[step].answers), "")
    for status in sources:
        event = Event(status=status, asked_for=pending, version=1)
        with pytest.raises(ReasonMissing):
            take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="  ")
        with pytest.raises(ReasonMissing):
            take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="\u200b\u2060\u3164\u00a0\ufeff")
        assert event.version == 1


def test_turning_away_always_needs_a_reason() -> None:
    assert {s.value for s in Step if TABLE[s].needs_reason} == {
        "decline",
        "do_not_file",
        "send_back",
        "rework",
        "recall",
        "move_cell",
        "ask_extension",
        "ask_deferral",
        "refuse",
        "void",
        "reopen",
        "send_another",
        "assist",
        "whistle",
        "assist_back",
        "release",
        "reclassify",
        "close_specially",
        "reply",
        "separate",
    }
    assert {s.value for s in Step if TABLE[s].needs_photo} == {
        "handle",
        "lead_handle",
        "assist_handle",
        "self_handle",
        "check",
    }


def test_every_state_has_a_phase_and_only_final_ones_lead_nowhere() -> None:
    assert set(PHASE) == set(Status)
    for status in Status:
        leads_somewhere = any(status in rule.sources and rule.target for rule in TABLE.values())
        # A reporter may have a closed case reopened, a desk what was merged in error.
        assert leads_somewhere != (status in FINAL - {Status.CLOSED, Status.MERGED})


def test_without_a_post_nothing_may_be_done() -> None:
    event = Event(status="located", version=2)
    assert not any(may([], step, event) for step in Step)
    assert Role.RESIDENT not in {role for rule in TABLE.values() for role in rule.roles}


def test_the_table_for_people_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "steps.md"
    assert page.read_text(encoding="utf-8") == steps_for_people(), "manage.py print_steps > docs/steps.md"
