"""WHAT: people, classes and rules, reports, cases, work orders and their history.

Models hold facts and constraints; what happens to them lives in functions named by domain verbs.
Positions are WGS-84 (EPSG:4326); times are UTC.
"""

from .cases import Event, Photo, Report, Transition, WorkOrder
from .history import (
    EventClassChange,
    FilingConditionChange,
    HoldingChange,
    IntakePolicyChange,
    PostChange,
    ResponsibilityRuleChange,
    StageLimitChange,
)
from .keeping import AccessAct, AccessPurpose, ElementAccess, ElementAct, ElementSubmission, SegmentChief
from .people import Holding, Post, User
from .rules import Channel, IntakePolicy, ResponsibilityRule, Stage, StageLimit
from .standard import EventClass, FilingCondition, Kind, LimitUnit

__all__ = [
    "AccessAct",
    "AccessPurpose",
    "Channel",
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
    "Photo",
    "Post",
    "PostChange",
    "Report",
    "ResponsibilityRule",
    "ResponsibilityRuleChange",
    "SegmentChief",
    "Stage",
    "StageLimit",
    "StageLimitChange",
    "Transition",
    "User",
    "WorkOrder",
]
