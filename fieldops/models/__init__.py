"""WHAT: people, classes and rules, reports, cases, work orders and their history.

Models hold facts and constraints; what happens to them lives in functions named by domain verbs.
Positions are WGS-84 (EPSG:4326); times are UTC.
"""

from .cases import Event, Photo, Report, Transition, WorkOrder
from .coverage import ClassInPlace
from .history import (
    CallBackPolicyChange,
    EventClassChange,
    FilingConditionChange,
    HoldingChange,
    IntakePolicyChange,
    PostChange,
    ResponsibilityRuleChange,
    SegmentChiefChange,
    StageLimitChange,
    SupervisionRuleChange,
)
from .keeping import AccessAct, AccessPurpose, ElementAccess, ElementAct, ElementSubmission, SegmentChief
from .people import Holding, Post, User
from .reckoning import Reckoning
from .rules import Channel, IntakePolicy, Party, ResponsibilityRule, Stage, StageLimit
from .satisfaction import CallBack, CallBackPolicy, ContactAccess, Rating, Way
from .standard import EventClass, FilingCondition, Kind, LimitUnit
from .supervision import Card, Occasion, Supervision, SupervisionRule

__all__ = [
    "AccessAct",
    "AccessPurpose",
    "CallBack",
    "CallBackPolicy",
    "CallBackPolicyChange",
    "Card",
    "Channel",
    "ClassInPlace",
    "ContactAccess",
    "ElementAccess",
    "ElementAct",
    "ElementSubmission",
    "Event",
    "EventClass",
    "EventClassChange",
    "FilingCondition",
    "FilingConditionChange",
    "Holding",
    "HoldingChange",
    "IntakePolicy",
    "IntakePolicyChange",
    "Kind",
    "LimitUnit",
    "Occasion",
    "Party",
    "Photo",
    "Post",
    "PostChange",
    "Rating",
    "Reckoning",
    "Report",
    "ResponsibilityRule",
    "ResponsibilityRuleChange",
    "SegmentChief",
    "SegmentChiefChange",
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
