"""The fence: noise at a border does not flap, and what is in doubt decides nothing."""

import math

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.fence import LEAST_DOUBT_M, SURE, USABLE_ACCURACY_M, Area, Seen, crossings, decide

SQUARE = Area(shapely.box(109.90, 40.64, 109.92, 40.66))

depths = st.floats(-5000, 5000)
accuracies = st.one_of(st.none(), st.floats(0, 500))
fixes = st.lists(st.builds(Seen, depths, accuracies, st.booleans()), max_size=60)


def test_depth_is_metres_to_the_border() -> None:
    inside, outside, corner = SQUARE.depths([109.91, 109.89, 109.90], [40.64 + 0.001, 40.65, 40.64])
    assert inside == pytest.approx(0.001 * 111_040, abs=1)  # a meridian's degree at 40.6°
    assert outside == pytest.approx(-0.01 * 84_560, rel=0.002)  # a parallel's degree there
    assert corner == pytest.approx(0, abs=0.5)


@given(fixes, st.booleans())
def test_never_two_entries_and_never_two_leaves_in_a_row(seen: list[Seen], inside: bool) -> None:
    before = inside
    for index, entered in crossings(seen, inside=inside):
        assert entered is not before
        assert decide(seen[index]) is entered
        before = entered


@given(fixes, st.booleans(), st.floats(USABLE_ACCURACY_M + 0.001, 1e5), st.data())
def test_a_poor_fix_changes_nothing(seen: list[Seen], inside: bool, poor: float, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(seen)))
    worse = [*seen[:at], Seen(data.draw(depths), poor), *seen[at:]]
    told = [(worse[index], entered) for index, entered in crossings(worse, inside=inside)]
    assert told == [(seen[index], entered) for index, entered in crossings(seen, inside=inside)]


@given(
    st.lists(st.tuples(st.floats(0, 2 * math.pi), st.floats(0, 0.999)), min_size=1, max_size=80),
    st.floats(1, USABLE_ACCURACY_M),
    st.booleans(),
)
@settings(max_examples=60)
def test_noise_around_a_point_on_the_border_never_flaps(
    noise: list[tuple[float, float]], accuracy: float, inside: bool
) -> None:
    """A worker stands on the border, the phone wanders anywhere within its doubt: nothing is crossed, ever."""
    doubt = max(LEAST_DOUBT_M, SURE * accuracy)
    lon, lat = 109.90, 40.65
    xs = [lon + doubt * r * math.cos(a) / 84_700 for a, r in noise]
    ys = [lat + doubt * r * math.sin(a) / 111_100 for a, r in noise]
    seen = [Seen(depth, accuracy) for depth in SQUARE.depths(xs, ys)]
    assert list(crossings(seen, inside=inside)) == []


def test_what_is_mocked_jumps_or_has_no_accuracy_decides_nothing() -> None:
    assert decide(Seen(500, 5, trusted=False)) is None
    assert decide(Seen(500, None)) is None
    assert decide(Seen(500, 0)) is None  # a phone's way of saying: unknown
    assert (decide(Seen(500, 5)), decide(Seen(-500, 5)), decide(Seen(9, 5))) == (True, False, None)


def test_a_walk_across_is_one_leave_and_one_entry() -> None:
    way = [200, 90, 30, 4, -8, 3, -15, -40, -120, -60, -9, 6, -4, 12, 55, 140]
    told = list(crossings([Seen(depth, 10) for depth in way], inside=True))
    assert [entered for _index, entered in told] == [False, True]
