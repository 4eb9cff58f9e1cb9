"""The life of a case as one table: which step leads from where to where, and who may take it.

Read it as a sentence: *a role takes a step, which moves a case from one of these states to that one*.
"""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    REPORTED = "reported", _("Reported")
    LOCATED = "located", _("Located")
    ACCEPTED = "accepted", _("Accepted")
    VERIFYING = "verifying", _("Being verified on site")
    FILED = "filed", _("Filed")
    ASSIGNED = "assigned", _("Assigned")
    DISPATCHED = "dispatched", _("Dispatched")
    TAKEN_ON = "taken_on", _("Taken on")
    DEFERRED = "deferred", _("Deferred")
    HANDLED = "handled", _("Handled")
    CONFIRMED = "confirmed", _("Confirmed on site")
    CLOSED = "closed", _("Closed")
    DECLINED = "declined", _("Declined")
    NOT_FILED = "not_filed", _("Not filed")
    VOIDED = "voided", _("Void")
    MERGED = "merged", _("Merged into another case")


class Phase(models.TextChoices):
    """The coarse state that the map colours by."""

    INTAKE = "intake", _("Intake")
    DISPATCH = "dispatch", _("Dispatch")
    HANDLING = "handling", _("Handling")
    CHECKING = "checking", _("Checking")
    CLOSED = "closed", _("Closed")
    DECLINED = "declined", _("Declined")


PHASE = {
    Status.REPORTED: Phase.INTAKE,
    Status.LOCATED: Phase.INTAKE,
    Status.ACCEPTED: Phase.INTAKE,
    Status.VERIFYING: Phase.INTAKE,
    Status.FILED: Phase.DISPATCH,
    Status.ASSIGNED: Phase.DISPATCH,
    Status.DISPATCHED: Phase.DISPATCH,
    Status.TAKEN_ON: Phase.HANDLING,
    Status.DEFERRED: Phase.HANDLING,
    Status.HANDLED: Phase.CHECKING,
    Status.CONFIRMED: Phase.CHECKING,
    Status.CLOSED: Phase.CLOSED,
    Status.DECLINED: Phase.DECLINED,
    Status.NOT_FILED: Phase.DECLINED,
    Status.VOIDED: Phase.DECLINED,
    Status.MERGED: Phase.DECLINED,
}
MAX_EXTENSIONS = 2  # of one department's limit for one case
MAX_RETURNS = 2  # of one case; then the district decides, and the next department keeps it (首接负责)
FINAL = frozenset({Status.CLOSED, Status.DECLINED, Status.NOT_FILED, Status.VOIDED, Status.MERGED})


class Role(models.TextChoices):
    """What a post does; a person acts through the posts they hold."""

    GRID_WORKER = "grid_worker", _("Grid worker")
    STREET_CHIEF = "street_chief", _("Street chief")
    INTAKE_OPERATOR = "intake_operator", _("Intake operator")
    DISPATCHER = "dispatcher", _("Dispatcher")
    SHIFT_LEADER = "shift_leader", _("Shift leader")
    DEPARTMENT_HANDLER = "department_handler", _("Department handler")
    SUPERVISOR = "supervisor", _("Supervisor")
    LEADER = "leader", _("Leader")
    RESIDENT = "resident", _("Resident")


class Step(models.TextChoices):
    """What happened; every step is one Transition."""

    REPORT = "report", _("Report")
    LOCATE = "locate", _("Locate")
    ACCEPT = "accept", _("Accept")
    DECLINE = "decline", _("Decline")
    FILE = "file", _("File the case")
    DO_NOT_FILE = "do_not_file", _("Do not file")
    ASSIGN = "assign", _("Assign")
    DISPATCH = "dispatch", _("Dispatch")
    TAKE_ON = "take_on", _("Take on")
    SEND_BACK = "send_back", _("Send back")
    HANDLE = "handle", _("Handle")
    REWORK = "rework", _("Rework")
    CONFIRM = "confirm", _("Confirm on site")
    CLOSE = "close", _("Close")
    MOVE_CELL = "move_cell", _("Move to another cell")
    RECALL = "recall", _("Recall the dispatch")
    EXPIRE = "expire", _("Not taken on in time")
    ASK_EXTENSION = "ask_extension", _("Ask for an extension")
    EXTEND = "extend", _("Extend the limit")
    ASK_DEFERRAL = "ask_deferral", _("Ask for a deferral")
    DEFER = "defer", _("Defer")
    REFUSE = "refuse", _("Refuse the request")
    RESUME = "resume", _("Resume")
    VOID = "void", _("Void the case")
    SUPERVISE = "supervise", _("Supervise")
    ANSWER = "answer", _("Answer the supervision")
    ASK_BACK = "ask_back", _("Ask the reporters back")
    RATE = "rate", _("A reporter rates the result")
    REOPEN = "reopen", _("Reopen the case")
    RECKON = "reckon", _("The due time is computed anew")
    ASK_VERIFY = "ask_verify", _("Send somebody to verify")
    VERIFY = "verify", _("Verify on site")
    CHECK = "check", _("Check on site")
    SEND_ANOTHER = "send_another", _("Send somebody else to the spot")
    SELF_HANDLE = "self_handle", _("Handled on the spot")
    ASSIST = "assist", _("Call an assisting department")
    WHISTLE = "whistle", _("Whistle departments to the spot")
    ASSIST_TAKE_ON = "assist_take_on", _("Take on the assistance")
    ARRIVE = "arrive", _("Arrive at the spot")
    ASSIST_HANDLE = "assist_handle", _("The assistance is done")
    ASSIST_BACK = "assist_back", _("Send the assistance back")
    RELEASE = "release", _("Release an assisting department")
    LEAD_HANDLE = "lead_handle", _("The lead is done; assistants are not")
    RECLASSIFY = "reclassify", _("Reclassify")
    CLOSE_SPECIALLY = "close_specially", _("Close in error or as a special case")
    REPLY = "reply", _("Reply to the reporter")
    MERGE = "merge", _("Merge into another case")
    JOIN = "join", _("Another case joins")
    SEPARATE = "separate", _("Take out of the case it was merged into")


@dataclass(frozen=True)
class Rule:
    """One row of the table below. `roles` empty: only the system takes this step.

    `target` None: the step changes something else about the case and leaves its status alone. What one role may
    only ask for, another decides: `asks_for` is the step that is wanted, `answers` what may be pending.
    """

    sources: frozenset[Status | None]
    target: Status | None
    roles: frozenset[Role] = frozenset()
    needs_reason: bool = False
    needs_photo: bool = False
    asks_for: Step | None = None
    answers: frozenset[Step] = frozenset()

    def follows(self, status: str, asked_for: str) -> bool:
        """Whether a case of this status, with this request pending (empty: none), may take the step."""
        if (status or None) not in self.sources:
            return False
        return asked_for in self.answers if self.answers else not (self.asks_for and asked_for)


def _row(
    sources: "Status | None | tuple[Status, ...]",
    target: Status | None,
    *roles: Role,
    needs_reason: bool = False,
    needs_photo: bool = False,
    asks_for: Step | None = None,
    answers: tuple[Step, ...] = (),
) -> Rule:
    held = sources if isinstance(sources, tuple) else (sources,)
    return Rule(
        frozenset(held), target, frozenset(roles), needs_reason, needs_photo, asks_for, frozenset(answers)
    )


S, R = Status, Role
IN_A_CELL = tuple(status for status in Status if status != Status.REPORTED and status not in FINAL)
ONCE_FILED = tuple(status for status in IN_A_CELL if status not in (S.LOCATED, S.ACCEPTED, S.VERIFYING))
# What was merged goes on in another case.
ONCE_LOCATED = (*IN_A_CELL, *sorted(FINAL - {S.MERGED}))
WITH_WORK = (S.ASSIGNED, S.DISPATCHED, S.TAKEN_ON, S.DEFERRED)
WHO_CHECKS = (R.GRID_WORKER, R.STREET_CHIEF, R.DISPATCHER, R.SHIFT_LEADER)
TABLE: dict[Step, Rule] = {
    Step.REPORT: _row(None, S.REPORTED),
    Step.LOCATE: _row(S.REPORTED, S.LOCATED),
    Step.ACCEPT: _row(S.LOCATED, S.ACCEPTED, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.DECLINE: _row(S.LOCATED, S.DECLINED, R.INTAKE_OPERATOR, R.SHIFT_LEADER, needs_reason=True),
    Step.FILE: _row(S.ACCEPTED, S.FILED, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.DO_NOT_FILE: _row(S.ACCEPTED, S.NOT_FILED, R.INTAKE_OPERATOR, R.SHIFT_LEADER, needs_reason=True),
    Step.ASSIGN: _row((S.FILED, S.ASSIGNED), S.ASSIGNED, R.DISPATCHER, R.SHIFT_LEADER),
    Step.DISPATCH: _row(S.ASSIGNED, S.DISPATCHED, R.DISPATCHER, R.SHIFT_LEADER),
    Step.TAKE_ON: _row(S.DISPATCHED, S.TAKEN_ON, R.DEPARTMENT_HANDLER),
    # The lead's while it is dispatched; an assistant's at any time.
    Step.EXPIRE: _row((S.FILED, *WITH_WORK), None),
    Step.RECALL: _row(
        (S.DISPATCHED, S.TAKEN_ON), S.ASSIGNED, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True
    ),
    Step.SEND_BACK: _row((S.DISPATCHED, S.TAKEN_ON), S.FILED, R.DEPARTMENT_HANDLER, needs_reason=True),
    Step.HANDLE: _row(S.TAKEN_ON, S.HANDLED, R.DEPARTMENT_HANDLER, needs_photo=True),
    # Whose word it is, says the district's policy of checks (`Event.checked_by`).
    Step.REWORK: _row(S.HANDLED, S.DISPATCHED, *WHO_CHECKS, needs_reason=True),
    Step.CONFIRM: _row(S.HANDLED, S.CONFIRMED, *WHO_CHECKS),
    Step.CLOSE: _row(S.CONFIRMED, S.CLOSED, R.DISPATCHER, R.SHIFT_LEADER),
    Step.MOVE_CELL: _row(IN_A_CELL, None, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True),
    Step.ASK_EXTENSION: _row(S.TAKEN_ON, None, R.DEPARTMENT_HANDLER, needs_reason=True, asks_for=Step.EXTEND),
    Step.EXTEND: _row(S.TAKEN_ON, None, R.SHIFT_LEADER, R.SUPERVISOR, answers=(Step.EXTEND,)),
    Step.ASK_DEFERRAL: _row(S.TAKEN_ON, None, R.DEPARTMENT_HANDLER, needs_reason=True, asks_for=Step.DEFER),
    Step.DEFER: _row(S.TAKEN_ON, S.DEFERRED, R.SHIFT_LEADER, R.SUPERVISOR, answers=(Step.DEFER,)),
    Step.REFUSE: _row(
        S.TAKEN_ON, None, R.SHIFT_LEADER, R.SUPERVISOR, needs_reason=True, answers=(Step.EXTEND, Step.DEFER)
    ),
    Step.RESUME: _row(S.DEFERRED, S.TAKEN_ON, R.DEPARTMENT_HANDLER, R.SHIFT_LEADER),
    Step.VOID: _row(ONCE_FILED, S.VOIDED, R.SHIFT_LEADER, needs_reason=True),
    Step.SUPERVISE: _row(IN_A_CELL, None, R.SHIFT_LEADER, R.SUPERVISOR, R.LEADER),
    # Whoever holds the post that was addressed answers.
    Step.ANSWER: _row(IN_A_CELL, None, *(role for role in Role if role != R.RESIDENT)),
    Step.ASK_BACK: _row(S.CLOSED, None),
    # For those who have no app a desk writes it down.
    # The case may be open again by another reporter's word.
    Step.RATE: _row((S.CLOSED, *ONCE_FILED), None, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.REOPEN: _row(S.CLOSED, S.FILED, needs_reason=True),
    Step.RECKON: _row(IN_A_CELL, None),
    # On site: before filing (核实), and after handling where a worker looks before the street chief does (核查).
    Step.ASK_VERIFY: _row(S.ACCEPTED, S.VERIFYING, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.VERIFY: _row(S.VERIFYING, S.ACCEPTED, R.GRID_WORKER, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.CHECK: _row(S.HANDLED, None, R.GRID_WORKER, needs_photo=True),
    Step.SEND_ANOTHER: _row(
        (S.VERIFYING, S.HANDLED), None, R.INTAKE_OPERATOR, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True
    ),
    # 自行处置: by the collector who reported it, with photos from before and after.
    Step.SELF_HANDLE: _row((S.LOCATED, S.ACCEPTED), S.CLOSED, R.GRID_WORKER, needs_photo=True),
    # 协办 and 吹哨: orders beside the lead's, each with its own clock.
    Step.ASSIST: _row(WITH_WORK, None, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True),
    Step.WHISTLE: _row(WITH_WORK, None, R.GRID_WORKER, R.LEADER, needs_reason=True),
    Step.ASSIST_TAKE_ON: _row((S.FILED, *WITH_WORK), None, R.DEPARTMENT_HANDLER),
    Step.ARRIVE: _row((S.FILED, *WITH_WORK), None, R.DEPARTMENT_HANDLER),
    Step.ASSIST_HANDLE: _row((S.FILED, *WITH_WORK), None, R.DEPARTMENT_HANDLER, needs_photo=True),
    Step.ASSIST_BACK: _row((S.FILED, *WITH_WORK), None, R.DEPARTMENT_HANDLER, needs_reason=True),
    Step.RELEASE: _row((S.FILED, *WITH_WORK), None, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True),
    Step.LEAD_HANDLE: _row(S.TAKEN_ON, None, R.DEPARTMENT_HANDLER, needs_photo=True),
    Step.RECLASSIFY: _row(
        (S.FILED, S.ASSIGNED, S.DISPATCHED, S.TAKEN_ON), None, R.DISPATCHER, R.SHIFT_LEADER, needs_reason=True
    ),
    Step.CLOSE_SPECIALLY: _row(ONCE_FILED, S.CLOSED, R.SHIFT_LEADER, needs_reason=True),
    # To those who reported through a desk; its words are the reason.
    Step.REPLY: _row(ONCE_LOCATED, None, R.INTAKE_OPERATOR, R.SHIFT_LEADER, needs_reason=True),
    # 并案: the same problem, reported again; the open case that it joins goes on with the reporters of both.
    Step.MERGE: _row((S.LOCATED, S.ACCEPTED, S.VERIFYING), S.MERGED, R.INTAKE_OPERATOR, R.SHIFT_LEADER),
    Step.JOIN: _row(IN_A_CELL, None),
    Step.SEPARATE: _row(S.MERGED, S.LOCATED, R.INTAKE_OPERATOR, R.SHIFT_LEADER, needs_reason=True),
}
