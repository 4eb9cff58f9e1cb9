"""Every indicator (指标) in one function: what is divided by what. The cases behind a number are those it counted.

A function is given the counts and answers a fraction of sums of them. Where cities divide by different counts, it
offers several denominators; a district chooses by a row of `DenominatorChoice`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.utils.translation import gettext_lazy as _

from .facts import COUNTS


@dataclass(frozen=True)
class Sum:
    """A weighted sum of counts."""

    weights: Mapping[str, float]

    def __add__(self, other: "Sum") -> "Sum":
        codes = dict.fromkeys([*self.weights, *other.weights])
        return Sum({code: self.weights.get(code, 0) + other.weights.get(code, 0) for code in codes})

    def __rmul__(self, weight: float) -> "Sum":
        return Sum({code: weight * each for code, each in self.weights.items()})

    def of(self, counts: Mapping[str, int]) -> float:
        """Its value where so many were counted."""
        return sum(weight * counts[code] for code, weight in self.weights.items())


class _Counts:
    """`n.closed` stands for the number of closed cases."""

    def __getattr__(self, code: str) -> Sum:
        if code not in COUNTS:
            raise AttributeError(code)
        return Sum({code: 1})


class Better(Enum):
    """Which way an indicator should go."""

    HIGHER = "higher"
    LOWER = "lower"


Fraction = tuple[Sum, Sum | Mapping[str, Sum]]


@dataclass(frozen=True)
class Indicator:
    """A named fraction of counts; `denominators` are what a district may choose from, the first by default."""

    code: str
    label: Any
    better: Better
    numerator: Sum
    denominators: Mapping[str, Sum]
    describes: str = field(repr=False)

    def denominator(self, choice: str = "") -> Sum:
        """The chosen one, else the first."""
        return self.denominators.get(choice) or next(iter(self.denominators.values()))

    def value(self, counts: Mapping[str, int], choice: str = "") -> float | None:
        """The fraction; None where there is nothing to divide by."""
        below = self.denominator(choice).of(counts)
        return self.numerator.of(counts) / below if below else None


INDICATORS: dict[str, Indicator] = {}
VOLUME = "volume"  # a part of scores that is no fraction: how many cases there were to handle


def indicator(
    label: Any, *, better: Better = Better.HIGHER
) -> Callable[[Callable[[Any], Fraction]], Indicator]:
    """Register a function of the counts as an indicator of the same name."""

    def register(function: Callable[[Any], Fraction]) -> Indicator:
        above, below = function(_Counts())
        offered = below if isinstance(below, Mapping) else {next(iter(below.weights)): below}
        made = Indicator(
            function.__name__, label, better, above, offered, " ".join((function.__doc__ or "").split())
        )
        INDICATORS[made.code] = made
        return made

    return register


def counts_of(sums: Iterable[Sum]) -> list[str]:
    """The counts that these sums are made of."""
    return list(dict.fromkeys(code for one in sums for code in one.weights))


# --- collecting and filing --------------------------------------------------------------------------------


@indicator(_("Valid report rate"))
def valid_report_rate(n: Any) -> Fraction:
    """有效上报率. Reports whose case was filed and not voided, of the reports received."""
    return n.valid_reports, n.reports


@indicator(_("Filing rate"))
def filing_rate(n: Any) -> Fraction:
    """立案率. Cases filed, of those reported, or of those accepted."""
    return n.filed_of_reported, {"reported": n.reported, "accepted": n.accepted}


@indicator(_("Filed on time"))
def filed_on_time_rate(n: Any) -> Fraction:
    """按时立案率. Filed after an acceptance within its limit, of the filed."""
    return n.filed_in_time, n.filed


@indicator(_("Filed correctly"))
def filed_correctly_rate(n: Any) -> Fraction:
    """准确立案率. Filed and not voided since, of the filed."""
    return n.filed_right, n.filed


@indicator(_("Missed"), better=Better.LOWER)
def missed_rate(n: Any) -> Fraction:
    """漏报率. Filed cases that somebody else reported before a grid worker did, of the filed."""
    return n.missed, n.filed


# --- dispatching and handling -----------------------------------------------------------------------------


@indicator(_("Dispatched correctly"))
def dispatched_correctly_rate(n: Any) -> Fraction:
    """准确派遣率. Neither sent back nor recalled, of those dispatched for the first time in the period."""
    return n.dispatched_right, n.to_dispatch


@indicator(_("Handling rate"))
def handling_rate(n: Any) -> Fraction:
    """处置率. Handled by the end of the period, of those first dispatched in it."""
    return n.handled, n.to_handle


@indicator(_("Handled on time"))
def handled_on_time_rate(n: Any) -> Fraction:
    """按期处置率. Handled before it was due, of those first dispatched in the period."""
    return n.handled_in_time, n.to_handle


@indicator(_("Extensions"), better=Better.LOWER)
def extension_rate(n: Any) -> Fraction:
    """延期率. With an extension, of those first dispatched in the period."""
    return n.extended, n.to_handle


# --- closing ----------------------------------------------------------------------------------------------


@indicator(_("Closing rate"))
def closing_rate(n: Any) -> Fraction:
    """结案率. Handled and closed by the end, of those to close: handled in the period, or fallen due in it and not.

    What is closed in error or as a special case is not closed here, and to close only if it had fallen due before.
    """
    return n.closed, n.to_close


@indicator(_("Closed on time"))
def closed_on_time_rate(n: Any) -> Fraction:
    """按期结案率. Closed after handling within the limit, of those to close."""
    return n.closed_in_time, n.to_close


@indicator(_("Overdue rate"), better=Better.LOWER)
def overdue_rate(n: Any) -> Fraction:
    """超期率. Handled late or not at all, of those to close, or of those first dispatched."""
    return n.overdue, {"to_close": n.to_close, "to_handle": n.to_handle}


@indicator(_("Rework rate"), better=Better.LOWER)
def rework_rate(n: Any) -> Fraction:
    """返工率. With a check that failed, of those to close."""
    return n.reworked, n.to_close


@indicator(_("Checks on site"))
def check_rate(n: Any) -> Fraction:
    """核查率. Confirmed on site, not by the desk, of the handled in the period, or of those to close."""
    return n.checked, {"handled_in_period": n.handled_in_period, "to_close": n.to_close}


@indicator(_("Verified on time"))
def verified_on_time_rate(n: Any) -> Fraction:
    """按时核实率. Verified on site within the limit, of the verifications asked for and due or done."""
    return n.verified_in_time, n.to_verify


@indicator(_("Checked on time"))
def checked_on_time_rate(n: Any) -> Fraction:
    """按时核查率. Checked on site within the limit, of the checks asked for and due or done."""
    return n.checked_in_time, n.to_check


# --- reporters, 12345 -------------------------------------------------------------------------------------


@indicator(_("Response"))
def response_rate(n: Any) -> Fraction:
    """响应率. Accepted or declined within the limit of intake, of those reported."""
    return n.responded, n.reported


@indicator(_("Replied on time"))
def replied_on_time_rate(n: Any) -> Fraction:
    """按时回复率. Replies within the limit to those who reported through a desk, of the replies given or fallen due."""
    return n.replied_in_time, n.to_reply


@indicator(_("Resolution"))
def resolution_rate(n: Any) -> Fraction:
    """解决率. Call-backs that say it is resolved, of those answered, or of all asked."""
    return n.resolved, {"called_back": n.called_back, "asked_back": n.asked_back}


@indicator(_("Satisfaction"))
def satisfaction_rate(n: Any) -> Fraction:
    """满意率. Satisfied, and basically satisfied at 0.6, of the call-backs answered, or of all asked."""
    return n.satisfied + 0.6 * n.basically, {"called_back": n.called_back, "asked_back": n.asked_back}


# --- passing the buck, pressing ---------------------------------------------------------------------------


@indicator(_("Return rate"), better=Better.LOWER)
def return_rate(n: Any) -> Fraction:
    """回退率. Times a case was sent back in the period, of the cases first dispatched in the period."""
    return n.returns, n.to_dispatch


@indicator(_("Cards answered on time"))
def answered_cards_rate(n: Any) -> Fraction:
    """督办按期回复率. Cards answered within their limit, of those given in the period."""
    return n.supervised_answered, n.supervised


@indicator(_("Reopening rate"), better=Better.LOWER)
def reopening_rate(n: Any) -> Fraction:
    """重新立案率. Reopened by a reporter, of those to close."""
    return n.reopened, n.to_close
