"""The indicators of a month at every level of the grid, beside the aggregate a person writes by hand.

25, 50 and 100 thousand cases of one month, each in a database of its own: random lives that walk the real table of
steps, then the same ones again with other keys and other cells. The hand-written statement counts the same figures for
the same five levels from the same tables; both sides run on one connection and must agree.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import psycopg

from benchmarks._rounds import ROUNDS, Bar, interleaved, quartiles, report, spread, table

SIZES = (25_000, 50_000, 100_000)
LIVES = 5_000  # made by walking; the rest are copies of them
BEGIN = datetime(2026, 8, 31, 16, tzinfo=UTC)  # September in Qingshan
END = BEGIN + timedelta(days=30)

# One pass over the steps, one over each table beside; no exclusions, no moves, nothing as of another moment.
BY_HAND = """
WITH s AS (
    SELECT event_id, min(occurred_at) FILTER (WHERE kind = 'report') AS reported,
        min(occurred_at) FILTER (WHERE kind = 'accept') AS accepted,
        min(occurred_at) FILTER (WHERE kind IN ('accept', 'decline')) AS answered,
        min(stage_due_at) FILTER (WHERE kind IN ('accept', 'decline')) AS answer_due,
        min(occurred_at) FILTER (WHERE kind = 'file') AS filed,
        min(occurred_at) FILTER (WHERE kind = 'dispatch') AS dispatched,
        max(occurred_at) FILTER (WHERE kind IN ('confirm', 'check') AND post_id IN (
            SELECT id FROM fieldops_post WHERE role IN ('grid_worker', 'street_chief'))) AS checked,
        max(occurred_at) FILTER (WHERE kind = 'send_back') AS returned,
        max(occurred_at) FILTER (WHERE kind = 'reopen') AS reopened,
        max(version) FILTER (WHERE kind = 'reopen') AS reopening,
        max(version) FILTER (WHERE to_status = 'closed' AND from_status <> 'closed') AS closing,
        max(version) FILTER (WHERE kind = 'merge')
            > coalesce(max(version) FILTER (WHERE kind = 'separate'), 0) AS merged,
        bool_or(kind = 'void') AS voided, count(*) FILTER (WHERE kind = 'send_back') AS returns,
        bool_or(kind IN ('send_back', 'recall')) AS wrong, bool_or(kind = 'extend') AS extended,
        bool_or(kind = 'rework') AS reworked
    FROM fieldops_transition WHERE occurred_at < %(end)s GROUP BY event_id
), w AS (
    SELECT DISTINCT ON (event_id) event_id, due_at, handled_at, finished_at FROM fieldops_workorder
    WHERE part = 'lead' AND dispatched_at < %(end)s ORDER BY event_id, dispatched_at DESC
), r AS (
    SELECT event_id, count(*) AS n, (array_agg(channel ORDER BY received_at))[1] AS channel,
        count(*) FILTER (WHERE replied_at < %(end)s OR (
            reply_due_at < %(end)s AND (replied_at IS NULL OR replied_at >= %(end)s))) AS to_reply,
        count(*) FILTER (WHERE replied_at < %(end)s AND replied_at <= reply_due_at) AS replied
    FROM fieldops_report WHERE received_at < %(end)s GROUP BY event_id
), b AS (
    SELECT event_id, count(*) AS asked, count(answered_at) AS n, count(*) FILTER (WHERE resolved) AS resolved,
        count(*) FILTER (WHERE rating = 'satisfied') AS satisfied,
        count(*) FILTER (WHERE rating = 'basically') AS basically,
        count(*) FILTER (WHERE rating = 'dissatisfied') AS dissatisfied
    FROM fieldops_callback WHERE asked_at < %(end)s GROUP BY event_id
), k AS (
    SELECT event_id, count(*) AS n, count(*) FILTER (WHERE answered_at <= answer_due_at) AS answered
    FROM fieldops_supervision WHERE asked_at < %(end)s GROUP BY event_id
), v AS (
    SELECT event_id, count(*) FILTER (WHERE kind = 'verify') AS verify, count(*) FILTER (WHERE kind = 'check') AS look,
        count(*) FILTER (WHERE kind = 'verify' AND done_at <= due_at AND done_at < %(end)s) AS verified,
        count(*) FILTER (WHERE kind = 'check' AND done_at <= due_at AND done_at < %(end)s) AS looked
    FROM fieldops_check WHERE asked_at < %(end)s AND (due_at < %(end)s OR done_at < %(end)s)
        AND (ended_at IS NULL OR ended_at >= %(end)s) GROUP BY event_id
), f AS (
    SELECT s.*, v.verify, v.verified, v.look, v.looked,
        c.committee_id, c.regional_group_id, c.street_id, c.community_id, c.party_group_id, w.handled_at,
        r.n AS reports, r.channel, r.to_reply, r.replied, b.asked, b.n AS called, b.resolved, b.satisfied,
        b.basically, b.dissatisfied,
        k.n AS cards, k.answered AS cards_answered, handled_at <= w.due_at AS in_time,
        s.closing > coalesce(reopening, 0) AND handled_at IS NOT NULL AS closed,
        (NOT voided AND (handled_at IS NOT NULL OR (w.due_at < %(end)s
            AND (w.finished_at IS NULL OR w.finished_at > w.due_at)))) AS to_close,
        (NOT voided AND dispatched IS NOT NULL) AS to_handle
    FROM s JOIN fieldops_event e ON e.id = s.event_id JOIN gridmap_cell c ON c.id = e.cell_id
    LEFT JOIN w ON w.event_id = s.event_id LEFT JOIN r ON r.event_id = s.event_id
    LEFT JOIN b ON b.event_id = s.event_id LEFT JOIN k ON k.event_id = s.event_id
    LEFT JOIN v ON v.event_id = s.event_id
)
SELECT coalesce(party_group_id, community_id, street_id, regional_group_id, committee_id),
    coalesce(sum(reports) FILTER (WHERE merged IS NOT TRUE), 0),
    sum(reports) FILTER (WHERE filed IS NOT NULL AND NOT voided), count(reported) FILTER (WHERE merged IS NOT TRUE),
    count(*) FILTER (WHERE answered <= coalesce(answer_due, answered) AND merged IS NOT TRUE),
    count(accepted) FILTER (WHERE merged IS NOT TRUE), count(filed) FILTER (WHERE merged IS NOT TRUE), count(filed),
    count(*) FILTER (WHERE filed IS NOT NULL AND accepted <= coalesce(answer_due, accepted)),
    count(*) FILTER (WHERE filed IS NOT NULL AND NOT voided),
    count(*) FILTER (WHERE filed IS NOT NULL AND channel <> 'field_app'), count(dispatched),
    count(*) FILTER (WHERE dispatched IS NOT NULL AND NOT wrong), count(*) FILTER (WHERE to_handle),
    count(*) FILTER (WHERE to_handle AND handled_at IS NOT NULL), count(*) FILTER (WHERE to_handle AND in_time),
    count(*) FILTER (WHERE to_handle AND extended), count(*) FILTER (WHERE to_close),
    count(*) FILTER (WHERE to_close AND closed), count(*) FILTER (WHERE to_close AND closed AND in_time),
    count(*) FILTER (WHERE to_close AND in_time IS NOT TRUE), count(*) FILTER (WHERE to_close AND reworked),
    count(*) FILTER (WHERE NOT voided AND handled_at IS NOT NULL),
    count(*) FILTER (WHERE NOT voided AND checked >= handled_at), sum(returns),
    count(*) FILTER (WHERE returns > 1), count(reopened), coalesce(sum(asked), 0), coalesce(sum(called), 0),
    coalesce(sum(resolved), 0), coalesce(sum(satisfied), 0), coalesce(sum(basically), 0),
    coalesce(sum(dissatisfied), 0), sum(to_reply), sum(replied), coalesce(sum(cards), 0),
    coalesce(sum(cards_answered), 0),
    coalesce(sum(verify), 0), coalesce(sum(verified), 0), coalesce(sum(look), 0), coalesce(sum(looked), 0)
FROM f GROUP BY GROUPING SETS ((committee_id), (regional_group_id), (street_id), (community_id), (party_group_id))
"""


def main() -> None:
    """Build, measure, compare, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench indicators", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.db import connections

    from insight.figures import Period, Scope, count_by_level

    _first_lives()
    wrappers = {size: _build(size) for size in SIZES}
    period, scope = Period(BEGIN, END, END), Scope("150204")
    took: dict[tuple[int, str], list[float]] = {}
    for number, side in interleaved(
        [f"{size} {who}" for size in SIZES for who in ("ours", "by hand")], given.rounds + 1
    ):
        size, who = int(side.split()[0]), side.partition(" ")[2]
        connections["default"] = wrappers[size]
        # As many cases a round at every size: a moment's noise weighs on each alike.
        times = SIZES[-1] // size
        begun = time.perf_counter()
        for _time in range(times):
            found = (
                {line.of: tuple(line.counts.values()) for line in count_by_level(period, scope)}
                if who == "ours"
                else _by_hand(wrappers[size])
            )
        seconds = (time.perf_counter() - begun) / times
        if number:  # the first round warms the caches
            took.setdefault((size, who), []).append(seconds)
        elif who == "ours":
            other = _by_hand(wrappers[size])
            if found != other:
                wrong = next(unit for unit in other if found.get(unit) != other[unit])
                sys.exit(f"the sides differ for {wrong}:\n{found.get(wrong)}\n{other[wrong]}")
    print(f"{len(found)} organisations of five levels, {len(next(iter(found.values())))} counts each\n")
    rows = [
        [f"{size:,} cases", *(spread([1000 * one for one in took[size, who]]) for who in ("ours", "by hand"))]
        for size in SIZES
    ]
    table(["ms: median (quartiles)", "ours", "by hand"], rows)
    largest, smallest = SIZES[-1], SIZES[0]
    ratios = [a / b for a, b in zip(took[largest, "ours"], took[largest, "by hand"], strict=True)]
    grows = largest / smallest
    growth = [a / b / grows for a, b in zip(took[largest, "ours"], took[smallest, "ours"], strict=True)]
    print(f"median at {largest:,}: {quartiles(took[largest, 'ours'])[1]:.2f} s\n")
    report(
        "indicators",
        [
            Bar("100,000 cases, all levels: × the aggregate by hand", ratios, 1.5, at_least=False),
            Bar("growth from 25,000 to 100,000, × that of the cases", growth, 1, at_least=False),
        ],
    )


def _by_hand(wrapper: Any) -> dict[Any, tuple[int, ...]]:
    with wrapper.cursor() as cursor:
        cursor.execute(BY_HAND, {"end": END})
        return {row[0]: tuple(int(value) for value in row[1:]) for row in cursor.fetchall()}


# --- the months -------------------------------------------------------------------------------------------

COPIED = ("report", "workorder", "transition", "callback", "supervision", "check")


def _first_lives() -> None:
    """The demo district with the lives that walked, in the database that the others begin with."""
    from django.core.management import call_command

    from benchmarks._lives import make_lives, store, world_of
    from fieldops.demo import load_demo
    from gridmap.models import District

    call_command("migrate", verbosity=0)
    load_demo(allow=True)
    store(make_lives(world_of(District.objects.get()), LIVES, begin=BEGIN, until=END, seed=9))


def _build(size: int) -> Any:
    """A database with so many cases: the first lives and copies of them."""
    from django.db import connections

    begun = time.perf_counter()
    first = connections["default"]
    name = first.settings_dict["NAME"]
    wrapper = first.copy()
    wrapper.settings_dict["NAME"] = f"bench_{size}"
    with psycopg.connect(
        **{**first.get_connection_params(), "dbname": "postgres"}, autocommit=True
    ) as server:
        first.close()
        server.execute(f'CREATE DATABASE bench_{size} TEMPLATE "{name}"')
    with wrapper.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE first_lives AS SELECT id FROM fieldops_event")
        for copy in range(1, size // LIVES):
            _copy(cursor, copy)
        cursor.execute("VACUUM ANALYZE")
    print(f"{size:,} cases, built in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return wrapper


def _copy(cursor: Any, number: int) -> None:
    """All lives once more: every key of theirs turned into another, each case in another cell."""
    cursor.execute(
        "CREATE TEMP TABLE other AS WITH c AS (SELECT id, row_number() OVER (ORDER BY code) AS n FROM gridmap_cell "
        "WHERE valid_to IS NULL) SELECT a.id AS own, b.id AS turned FROM c a JOIN c b "
        "ON b.n = (a.n + %s) %% (SELECT count(*) FROM c) + 1",
        [97 * number],
    )
    turned = {
        "id": _key("id", number),
        "event_id": _key("event_id", number),
        "report_id": _key("report_id", number),
        "work_order_id": _key("work_order_id", number),
        "number": "''",
        "cell_id": "(SELECT turned FROM other WHERE own = t.cell_id)",
    }
    for name in ("event", *COPIED):
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER' "
            "ORDER BY ordinal_position",
            [f"fieldops_{name}"],
        )
        columns = [row[0] for row in cursor.fetchall()]
        values = ", ".join(turned.get(column, f"t.{column}") for column in columns)
        cursor.execute(
            f"INSERT INTO fieldops_{name} ({', '.join(columns)}) SELECT {values} FROM fieldops_{name} t "  # noqa: S608
            "WHERE " + ("t.id" if name == "event" else "t.event_id") + " IN (SELECT id FROM first_lives)"
        )
    cursor.execute("DROP TABLE other")


def _key(column: str, number: int) -> str:
    return f"md5(t.{column}::text || '{number}')::uuid"


if __name__ == "__main__":
    main()
