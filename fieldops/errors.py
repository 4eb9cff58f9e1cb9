"""Domain errors, each with a stable code that interfaces pass on; the class says which kind of refusal it is."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class DomainError(Exception):
    """Something was asked that the rules refuse. `code` is stable; `title` is for people."""

    code = "refused"
    title: str | Promise = _("Refused")

    def __init__(self, detail: str | Promise = "", **facts: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.facts = facts


class NotPermitted(DomainError):
    """The person may not do this."""

    code = "not_permitted"
    title = _("You may not do this")


class NotFound(DomainError):
    """There is no such thing, or the person may not see it; the two are not told apart."""

    code = "not_found"
    title = _("Not found")


class Conflict(DomainError):
    """What was asked no longer fits what is there."""

    code = "conflict"
    title = _("Someone was faster")


class Unprocessable(DomainError):
    """What was sent cannot be used."""

    code = "unprocessable"
    title = _("This cannot be used")


class Unavailable(DomainError):
    """It cannot be done for now; the sender keeps it and tries again."""

    code = "unavailable"
    title = _("Not possible for the moment")


class IllegalTransition(Conflict):
    code = "illegal_transition"
    title = _("The case is not in a state for this step")


class StaleVersion(Conflict):
    code = "stale_version"
    title = _("The case has changed since you saw it")


class SubmissionConflict(Conflict):
    code = "submission_conflict"
    title = _("This submission id was used with another content")


class PointOutsideDistrict(Unprocessable):
    code = "point_outside_district"
    title = _("The place lies outside the district")


class UnknownCell(Unprocessable):
    code = "unknown_cell"
    title = _("There is no such cell in force")


class SameCell(Unprocessable):
    code = "same_cell"
    title = _("The case is in this cell already")


class IntoItself(Unprocessable):
    code = "into_itself"
    title = _("A case cannot be merged into itself")


class HandlerElsewhere(Conflict):
    code = "handler_elsewhere"
    title = _("The post that works on the case does not serve that cell; recall the dispatch first")


class UnknownClass(Unprocessable):
    code = "unknown_class"
    title = _("There is no such event class")


class UnknownCondition(Unprocessable):
    code = "unknown_condition"
    title = _("There is no such filing condition for this class")


class UnknownCoordinates(Unprocessable):
    code = "unknown_coordinate_system"
    title = _("The coordinate system is not known")


class ImplausibleCoordinates(Unprocessable):
    code = "implausible_position"
    title = _("The position is no place where its coordinate system is used")


class ReasonMissing(Unprocessable):
    code = "reason_missing"
    title = _("This step needs a reason")


class UnknownAddressee(Unprocessable):
    code = "unknown_addressee"
    title = _("Nobody there can be supervised about this case")


class AlreadyAnswered(Conflict):
    code = "already_answered"
    title = _("This is answered already")


class AlreadySupervised(Conflict):
    code = "already_supervised"
    title = _("This card was given already and waits for its answer; a harder one can be given")


class AlreadyReplied(Conflict):
    code = "already_replied"
    title = _("This reporter has a reply already")


class CallBackOver(Conflict):
    code = "call_back_over"
    title = _("This call-back is over: nobody answered it in time")


class IncompleteAnswer(Unprocessable):
    code = "incomplete_answer"
    title = _(
        "An answer says when the card was received (not before it was given), who was contacted, what is done, "
        "and until when from now on"
    )


class AlreadyAssisting(Conflict):
    code = "already_assisting"
    title = _("This department leads the case or assists in it already")


class ReturnsSpent(Conflict):
    code = "returns_spent"
    title = _("The case was sent back twice; the district has decided, and this department keeps it")


class NotExtendable(Conflict):
    code = "not_extendable"
    title = _("The limit cannot be extended: it was extended twice, or has run out")


class NotDeferrable(Unprocessable):
    code = "not_deferrable"
    title = _("A case is deferred once, to a time within a year")


class UnknownComponent(Unprocessable):
    code = "unknown_component"
    title = _("There is no such component")


class ComponentElsewhere(Unprocessable):
    code = "component_elsewhere"
    title = _("The component stands too far from the place")


class ComponentOfAnotherClass(Unprocessable):
    code = "component_of_another_class"
    title = _("The component is not of this class")


class CodeTaken(Conflict):
    code = "code_taken"
    title = _("There is a component with this code already")


class ElementRefused(Unprocessable):
    code = "element_refused"
    title = _("The element is not as it should be")


class UnknownPurpose(Unprocessable):
    code = "unknown_purpose"
    title = _("People are looked up only for a purpose of the district's list")


class PhotoMissing(Unprocessable):
    code = "photo_missing"
    title = _("This step needs a photo taken on site")


class BadPhoto(Unprocessable):
    code = "bad_photo"
    title = _("The file is not a usable photo")


class NoResponsibleDepartment(Unprocessable):
    code = "no_responsible_department"
    title = _("No rule names a responsible department")


class NoHandler(Unprocessable):
    code = "no_handler"
    title = _("The department has no post for this place")


class NobodyToSend(Unprocessable):
    code = "nobody_to_send"
    title = _("Neither a worker nor a desk serves this place")


class AlreadyOnShift(Conflict):
    code = "already_on_shift"
    title = _("You are on a shift already")


class NotOnShift(Conflict):
    code = "not_on_shift"
    title = _("You are on no shift")


class PositionsUnavailable(Unavailable):
    code = "positions_unavailable"
    title = _("Positions cannot be taken for the moment; keep them and send them later")


class BoundariesRefused(Unprocessable):
    code = "layout_refused"
    title = _("The layout does not fit the boundaries in force")


class LayoutNotADraft(Conflict):
    code = "layout_settled"
    title = _("This layout is no draft any more")


class UnitInUse(Conflict):
    code = "unit_in_use"
    title = _("Posts belong to an organisation that would be dissolved")


class DistrictBusy(Conflict):
    code = "district_busy"
    title = _("Too many cases are changing there; try again")


class BoundariesChanged(Conflict):
    code = "boundaries_changed"
    title = _("The boundaries have just changed; try again")
