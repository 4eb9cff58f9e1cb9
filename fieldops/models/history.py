"""Who changed what of the rules, kept by triggers."""

from gridmap.models.history import kept_history

from .checks import CheckPolicy
from .keeping import SegmentChief
from .people import Holding, Post
from .replies import ReplyLimit
from .rules import IntakePolicy, ResponsibilityRule, StageLimit
from .satisfaction import CallBackPolicy
from .standard import EventClass, FilingCondition
from .supervision import SupervisionRule


class PostChange(kept_history(Post)):  # type: ignore[misc]
    """A state of a post's row."""


class HoldingChange(kept_history(Holding)):  # type: ignore[misc]
    """A state of who held a post."""


class EventClassChange(kept_history(EventClass)):  # type: ignore[misc]
    """A state of a class's row."""


class FilingConditionChange(kept_history(FilingCondition)):  # type: ignore[misc]
    """A state of a filing condition's row."""


class ResponsibilityRuleChange(kept_history(ResponsibilityRule)):  # type: ignore[misc]
    """A state of a rule's row."""


class IntakePolicyChange(kept_history(IntakePolicy)):  # type: ignore[misc]
    """A state of an intake policy's row."""


class StageLimitChange(kept_history(StageLimit)):  # type: ignore[misc]
    """A state of a limit's row."""


class SupervisionRuleChange(kept_history(SupervisionRule)):  # type: ignore[misc]
    """A state of a rule of supervision."""


class CallBackPolicyChange(kept_history(CallBackPolicy)):  # type: ignore[misc]
    """A state of a policy for call-backs."""


class ReplyLimitChange(kept_history(ReplyLimit)):  # type: ignore[misc]
    """A state of a limit for replies."""


class SegmentChiefChange(kept_history(SegmentChief)):  # type: ignore[misc]
    """A state of who answers for a road segment."""


class CheckPolicyChange(kept_history(CheckPolicy)):  # type: ignore[misc]
    """A state of a policy for checks."""
