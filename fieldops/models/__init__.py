"""WHAT: people, classes and rules, reports, cases, work orders and their history.

Models hold facts and constraints; what happens to them lives in functions named by domain verbs.
Positions are WGS-84 (EPSG:4326); times are UTC.
"""

from .cases import BY_WORK, Closing, Event, Part, Photo, Report, Transition, WorkOrder
from .checks import Check, Checker, CheckKind, CheckPolicy, Found, Sent
from .coverage import ClassInPlace
from .history import (
    CallBackPolicyChange,
    CheckPolicyChange,
    EventClassChange,
    FilingConditionChange,
    HoldingChange,
    IntakePolicyChange,
    PostChange,
    ReplyLimitChange,
    ResponsibilityRuleChange,
    SegmentChiefChange,
    StageLimitChange,
    SupervisionRuleChange,
)
from .keeping import AccessAct, AccessPurpose, ElementAccess, ElementAct, ElementSubmission, SegmentChief
from .people import Holding, Post, User
from .reckoning import Reckoning
from .replies import REPLY_HOURS, Matter, ReplyLimit
from .rules import Channel, IntakePolicy, Party, ResponsibilityRule, Stage, StageLimit
from .satisfaction import CallBack, CallBackPolicy, ContactAccess, Rating, Way
from .standard import EventClass, FilingCondition, Kind, LimitUnit
from .supervision import Card, Occasion, Supervision, SupervisionRule

__all__ = [
    "BY_WORK",
    "REPLY_HOURS",
    "AccessAct",
    "AccessPurpose",
    "CallBack",
    "CallBackPolicy",
    "CallBackPolicyChange",
    "Card",
    "Channel",
    "Check",
    "CheckKind",
    "CheckPolicy",
    "CheckPolicyChange",
    "Checker",
    "ClassInPlace",
    "Closing",
    "ContactAccess",
    "ElementAccess",
    "ElementAct",
    "ElementSubmission",
    "Event",
    "EventClass",
    "EventClassChange",
    "FilingCondition",
    "FilingConditionChange",
    "Found",
    "Holding",
    "HoldingChange",
    "IntakePolicy",
    "IntakePolicyChange",
    "Kind",
    "LimitUnit",
    "Matter",
    "Occasion",
    "Part",
    "Party",
    "Photo",
    "Post",
    "PostChange",
    "Rating",
    "Reckoning",
    "ReplyLimit",
    "ReplyLimitChange",
    "Report",
    "ResponsibilityRule",
    "ResponsibilityRuleChange",
    "SegmentChief",
    "SegmentChiefChange",
    "Sent",
    "Stage",
    "StageLimit",
    "StageLimitChange",
    "Supervision",
    "SupervisionRule",
    "SupervisionRuleChange",
    "Transition",
    "User",
    "Way",
    "WorkOrder",
]
