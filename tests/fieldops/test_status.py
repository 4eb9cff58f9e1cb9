"""The table of states, checked state by state, step by step, role by role."""

from pathlib import Path

import pytest
from django.utils import timezone

from fieldops.errors import IllegalTransition, ReasonMissing
from fieldops.lifecycle import SYSTEM, take_step
from fieldops.management.commands.print_steps import steps_for_people
from fieldops.models import Event
from fieldops.rights import may
from fieldops.status import FINAL, PHASE, TABLE, Role, Status, Step

# Written out by hand, apart from the table under test: what may follow what.
FOLLOWS = {
    None: {"report": "reported"},
    "reported": {"locate": "located"},
    "located": {
        "accept": "accepted",
        "decline": "declined",
        "self_handle": "closed",
        "move_cell": "located",
    },
    "accepted": {
        "file": "filed",
        "do_not_file": "not_filed",
        "ask_verify": "verifying",
        "self_handle": "closed",
        "move_cell": "accepted",
    },
    "verifying": {"verify": "accepted", "send_another": "verifying", "move_cell": "verifying"},
    "filed": {"assign": "assigned", "move_cell": "filed", "void": "voided"},
    "assigned": {"assign": "assigned", "dispatch": "dispatched", "move_cell": "assigned", "void": "voided"},
    "dispatched": {
        "take_on": "taken_on",
        "send_back": "filed",
        "recall": "assigned",
        "expire": "dispatched",
        "move_cell": "dispatched",
        "void": "voided",
    },
    "taken_on": {
        "handle": "handled",
        "send_back": "filed",
        "recall": "assigned",
        "move_cell": "taken_on",
        "ask_extension": "taken_on",
        "ask_deferral": "taken_on",
        "void": "voided",
    },
    "deferred": {"resume": "taken_on", "move_cell": "deferred", "void": "voided"},
    "handled": {
        "confirm": "confirmed",
        "rework": "dispatched",
        "check": "handled",
        "send_another": "handled",
        "move_cell": "handled",
        "void": "voided",
    },
    "confirmed": {"close": "closed", "move_cell": "confirmed", "void": "voided"},
    "closed": {},
    "declined": {},
    "not_filed": {},
    "voided": {},
}
# Pressing somebody, their answer, and a due time computed anew leave any open case where it is.
for open_status, steps in FOLLOWS.items():
    if open_status is not None and "move_cell" in steps:
        steps |= dict.fromkeys(("supervise", "answer", "reckon"), open_status)
        if open_status not in ("located", "accepted", "verifying"):
            steps |= {"rate": open_status, "close_specially": "closed"}
# Orders beside the lead's go on while the case waits for a department, or is worked on.
for with_orders in ("filed", "assigned", "dispatched", "taken_on", "deferred"):
    FOLLOWS[with_orders] |= dict.fromkeys(
        ("assist_take_on", "arrive", "assist_handle", "assist_back", "release"), with_orders
    )
for responsible in ("assigned", "dispatched", "taken_on", "deferred"):
    FOLLOWS[responsible] |= dict.fromkeys(("assist", "whistle"), responsible)
for unhandled in ("filed", "assigned", "dispatched", "taken_on"):
    FOLLOWS[unhandled]["reclassify"] = unhandled
FOLLOWS["taken_on"]["lead_handle"] = "taken_on"
FOLLOWS["closed"] = {"ask_back": "closed", "rate": "closed", "reopen": "filed"}
# While a request is pending: what answers it, and nothing else may be asked for.
WORK = {
    "handle": "handled",
    "send_back": "filed",
    "recall": "assigned",
    "move_cell": "taken_on",
    "void": "voided",
    **dict.fromkeys(("supervise", "answer", "reckon", "rate"), "taken_on"),
    **dict.fromkeys(("assist", "whistle", "release", "reclassify", "lead_handle"), "taken_on"),
    **dict.fromkeys(("assist_take_on", "arrive", "assist_handle", "assist_back"), "taken_on"),
    "close_specially": "closed",
}
PENDING = {
    "extend": {**WORK, "extend": "taken_on", "refuse": "taken_on"},
    "defer": {**WORK, "defer": "deferred", "refuse": "taken_on"},
}
WHO = {
    "accept": {"intake_operator", "shift_leader"},
    "decline": {"intake_operator", "shift_leader"},
    "file": {"intake_operator", "shift_leader"},
    "do_not_file": {"intake_operator", "shift_leader"},
    "assign": {"dispatcher", "shift_leader"},
    "dispatch": {"dispatcher", "shift_leader"},
    "close": {"dispatcher", "shift_leader"},
    "take_on": {"department_handler"},
    "send_back": {"department_handler"},
    "handle": {"department_handler"},
    # Which of them, says the policy of checks.
    "confirm": {"grid_worker", "street_chief", "dispatcher", "shift_leader"},
    "rework": {"grid_worker", "street_chief", "dispatcher", "shift_leader"},
    "ask_verify": {"intake_operator", "shift_leader"},
    "verify": {"grid_worker", "intake_operator", "shift_leader"},
    "check": {"grid_worker"},
    "send_another": {"intake_operator", "dispatcher", "shift_leader"},
    "self_handle": {"grid_worker"},
    "assist": {"dispatcher", "shift_leader"},
    "whistle": {"grid_worker", "leader"},
    "assist_take_on": {"department_handler"},
    "arrive": {"department_handler"},
    "assist_handle": {"department_handler"},
    "assist_back": {"department_handler"},
    "release": {"dispatcher", "shift_leader"},
    "lead_handle": {"department_handler"},
    "reclassify": {"dispatcher", "shift_leader"},
    "close_specially": {"shift_leader"},
    "move_cell": {"dispatcher", "shift_leader"},
    "recall": {"dispatcher", "shift_leader"},
    "expire": set(),
    "ask_extension": {"department_handler"},
    "ask_deferral": {"department_handler"},
    "extend": {"shift_leader", "supervisor"},
    "defer": {"shift_leader", "supervisor"},
    "refuse": {"shift_leader", "supervisor"},
    "resume": {"department_handler", "shift_leader"},
    "void": {"shift_leader"},
    "supervise": {"shift_leader", "supervisor", "leader"},
    "answer": {role.value for role in Role} - {"resident"},
    "rate": {"intake_operator", "shift_leader"},
    "ask_back": set(),
    "reopen": set(),
    "reckon": set(),
    "report": set(),
    "locate": set(),
}


@pytest.mark.parametrize("step", list(Step), ids=str)
@pytest.mark.parametrize("status", [None, *Status], ids=str)
def test_each_step_follows_exactly_where_the_handbook_says(status: Status | None, step: Step) -> None:
    event = Event(status=status or "", version=3)
    expected = FOLLOWS[status].get(step.value)
    if expected is None:
        with pytest.raises(IllegalTransition):
            take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="words")
        assert (event.status, event.version) == (status or "", 3)
    else:
        transition = take_step(event, step, actor=SYSTEM, at=timezone.now(), reason="words")
        assert (event.status, event.version, transition.version) == (expected, 4, 4)
        assert (transition.from_status, transition.to_status) == (status or "", expected)


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


@pytest.mark.parametrize("step", list(Step), ids=str)
def test_each_step_is_for_exactly_the_roles_the_handbook_names(step: Step) -> None:
    assert {role.value for role in TABLE[step].roles} == WHO[step.value]


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
        leads_somewhere = any(status in rule.sources for rule in TABLE.values())
        # A reporter may have a closed case reopened.
        assert leads_somewhere != (status in FINAL - {Status.CLOSED})


def test_without_a_post_nothing_may_be_done() -> None:
    event = Event(status="located", version=2)
    assert not any(may([], step, event) for step in Step)
    assert Role.RESIDENT not in {role for rule in TABLE.values() for role in rule.roles}


def test_the_table_for_people_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "steps.md"
    assert page.read_text(encoding="utf-8") == steps_for_people(), "manage.py print_steps > docs/steps.md"
