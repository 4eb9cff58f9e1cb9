"""The table of states, checked state by state, step by step, role by role."""

import pytest
from django.utils import timezone

from fieldops.errors import IllegalTransition, ReasonMissing
from fieldops.lifecycle import SYSTEM, take_step
from fieldops.models import Event
from fieldops.rights import may
from fieldops.status import FINAL, PHASE, TABLE, Role, Status, Step

# Written out by hand, apart from the table under test: what may follow what.
FOLLOWS = {
    None: {"report": "reported"},
    "reported": {"locate": "located"},
    "located": {"accept": "accepted", "decline": "declined", "move_cell": "located"},
    "accepted": {"file": "filed", "do_not_file": "not_filed", "move_cell": "accepted"},
    "filed": {"assign": "assigned", "move_cell": "filed"},
    "assigned": {"assign": "assigned", "dispatch": "dispatched", "move_cell": "assigned"},
    "dispatched": {
        "take_on": "taken_on",
        "send_back": "filed",
        "recall": "assigned",
        "expire": "dispatched",
        "move_cell": "dispatched",
    },
    "taken_on": {"handle": "handled", "send_back": "filed", "recall": "assigned", "move_cell": "taken_on"},
    "handled": {"confirm": "confirmed", "rework": "dispatched", "move_cell": "handled"},
    "confirmed": {"close": "closed", "move_cell": "confirmed"},
    "closed": {},
    "declined": {},
    "not_filed": {},
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
    "confirm": {"street_chief"},
    "rework": {"street_chief"},
    "move_cell": {"dispatcher", "shift_leader"},
    "recall": {"dispatcher", "shift_leader"},
    "expire": set(),
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
def test_each_step_is_for_exactly_the_roles_the_handbook_names(step: Step) -> None:
    assert {role.value for role in TABLE[step].roles} == WHO[step.value]


@pytest.mark.parametrize("step", [step for step in Step if TABLE[step].needs_reason], ids=str)
def test_a_step_that_turns_someone_away_says_why(step: Step) -> None:
    [*sources] = TABLE[step].sources
    for status in sources:
        event = Event(status=status, version=1)
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
    }


def test_every_state_has_a_phase_and_only_final_ones_lead_nowhere() -> None:
    assert set(PHASE) == set(Status)
    for status in Status:
        leads_somewhere = any(status in rule.sources for rule in TABLE.values())
        assert leads_somewhere != (status in FINAL)


def test_without_a_post_nothing_may_be_done() -> None:
    event = Event(status="located", version=2)
    assert not any(may([], step, event) for step in Step)
    assert Role.RESIDENT not in {role for rule in TABLE.values() for role in rule.roles}
