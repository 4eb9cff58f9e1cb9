"""Point → cell, one at a time and in bulk, at 1.5 thousand, 50 thousand and a million cells.

Single: `gridmap.locate.locate`, which intake calls, beside the bare prepared ST_Covers on its GiST index, point by
point in turn, on connections with the same settings. Bulk: `gridmap.bulk.CellIndex.locate` beside shapely's STRtree
both ways round and beside COPY with a join in PostgreSQL; every tree is built within its time, the cells' shapes are
in memory for all. `--verify` measures nothing: it compares the answers for a million places and every corner and
edge's middle of the demo's cells with plain shapely.
"""

import argparse
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import numpy as np
import numpy.typing as npt
import psycopg
import shapely

from benchmarks._cells import make_cells
from benchmarks._rounds import ROUNDS, Bar, interleaved, quartiles, report, spread, table
from benchmarks._truth import cells_by_shapely, corners_and_midpoints, random_places

SIZES = {"1.5 k": 0, "50 k": 50_000, "1 M": 1_000_000}  # 0: the demo district itself
SINGLES = 400  # lookups a round, size and side
BULK, BULK_SQL = 100_000, 20_000  # places a round
CODE = "150204"
BARE = """SELECT id FROM gridmap_cell
WHERE ST_Covers(boundary, ST_SetSRID(ST_MakePoint(%s, %s), 4326)) AND valid_to IS NULL ORDER BY code LIMIT 1"""
JOIN = """SELECT place.n, found.id FROM place JOIN gridmap_cell found
ON ST_Covers(found.boundary, place.point) AND found.valid_to IS NULL"""
Shapes = npt.NDArray[np.object_]
Places = npt.NDArray[np.float64]


def main() -> int:
    """Measure, or verify; 1 when an answer is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench locate", description=__doc__)
    parser.add_argument("--verify", action="store_true", help="compare answers instead of measuring")
    parser.add_argument("--places", type=int, default=1_000_000, help="random places of --verify")
    parser.add_argument("--quick", action="store_true", help="without the million")
    arguments = parser.parse_args()
    if arguments.quick:
        SIZES.popitem()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    return verify(arguments.places) if arguments.verify else measure()


# --- the answers ------------------------------------------------------------------------------------------------


def verify(number: int) -> int:
    """Compare with shapely; the statement of a single lookup answers the borders and a good part as well."""
    from django.core.management import call_command

    from gridmap.bulk import read_cells
    from gridmap.loading import build_district

    call_command("migrate", verbosity=0)
    build_district(_demo())
    index = read_cells(CODE)
    borders = corners_and_midpoints(index.boundaries)
    places = np.concatenate([borders, random_places(index.boundaries, number, np.random.default_rng(20))])
    begun = time.perf_counter()
    found = index.locate(*places.T)
    took = time.perf_counter() - begun
    expected, count = cells_by_shapely(index.boundaries, places)
    sample = slice(0, len(borders) + number // 10)
    by_sql = _by_sql(places[sample])
    numbers = {cell: n for n, cell in enumerate(index.ids)}
    wrong = int((found != expected).sum())
    wrong_sql = sum(
        numbers.get(cell, -1) != own for cell, own in zip(by_sql, found[sample].tolist(), strict=True)
    )
    table(
        ["", "places", "in a cell", "on borders", "wrong"],
        [
            [
                "bulk against shapely",
                f"{len(places):,}",
                f"{(found >= 0).sum():,}",
                f"{(count > 1).sum():,}",
                wrong,
            ],
            [
                "SQL against bulk",
                f"{len(by_sql):,}",
                f"{sum(cell is not None for cell in by_sql):,}",
                "",
                wrong_sql,
            ],
        ],
    )
    print(f"{len(borders):,} corners and middles of edges; bulk took {took:.1f} s\n")
    report("locate --verify", [Bar("wrong answers", [wrong + wrong_sql], 0, at_least=False)])
    return 1 if wrong or wrong_sql else 0


def _by_sql(places: Places) -> list[Any]:
    from django.db import connection

    from gridmap.locate import _COVERING

    single = _COVERING.replace("%s, %s", "x, y").replace("%s", f"'{CODE}'").replace("%", "%%")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT found.id FROM unnest(%s::float8[], %s::float8[]) WITH ORDINALITY AS place (x, y, n) "  # noqa: S608
            f"LEFT JOIN LATERAL ({single}) found ON true ORDER BY n",
            [places[:, 0].tolist(), places[:, 1].tolist()],
        )
        return [row[0] for row in cursor.fetchall()]


# --- the measurement ----------------------------------------------------------------------------------------------


class Town:
    """One size: a database of its own with the project's tables, the cells' shapes, and two connections."""

    def __init__(self, name: str, wrapper: Any, shapes: Shapes, district: Any) -> None:
        self.name, self.wrapper, self.shapes, self.district = name, wrapper, shapes, district
        self.ids, self.codes = [], []  # type: ignore[var-annotated]
        settings = wrapper.get_connection_params()
        wanted = ("host", "port", "user", "password", "dbname", "options", "prepare_threshold")
        self.bare = psycopg.connect(
            **{key: settings[key] for key in wanted if settings.get(key)}, autocommit=True
        )
        self.cursor = self.bare.cursor()
        self.box = shapely.total_bounds(shapes)

    def places(self, number: int, rng: np.random.Generator) -> Places:
        """Places within the cells' bounding box."""
        return rng.uniform(self.box[:2], self.box[2:], size=(number, 2))

    def places_in_cells(self, number: int, rng: np.random.Generator) -> Places:
        """Places that lie in a cell: one in each of so many cells."""
        cells = self.shapes[rng.integers(0, len(self.shapes), number)]
        return shapely.get_coordinates(shapely.point_on_surface(cells))


def measure() -> int:
    """Build the towns, take the rounds, print."""
    from django.db import connections

    from gridmap.bulk import CellIndex
    from gridmap.locate import locate

    towns = [_build(name, number) for name, number in SIZES.items()]
    # Millions of objects that stay: to look through them for garbage would hit one side or another by chance.
    gc.collect()
    gc.freeze()
    rng = np.random.default_rng(7)
    single: dict[tuple[str, str], list[float]] = {}
    for _round, name in interleaved(list(SIZES), ROUNDS + 1):
        town = next(town for town in towns if town.name == name)
        connections["default"] = town.wrapper
        places = town.places_in_cells(SINGLES, rng).tolist()
        sides: dict[str, Callable[[float, float], Any]] = {
            "bare": lambda x, y, cursor=town.cursor: cursor.execute(BARE, (x, y), prepare=True).fetchone(),
            "ours": lambda x, y, own=town.district: locate(x, y, district=own),
            "ours, accuracy 15 m": lambda x, y, own=town.district: locate(x, y, district=own, accuracy_m=15),
        }
        took: dict[str, list[float]] = {side: [] for side in sides}
        with _on_one_core(town):
            for lon, lat in places:
                for side, look_up in sides.items():
                    begun = time.perf_counter()
                    look_up(lon, lat)
                    took[side].append(time.perf_counter() - begun)
        # The first round prepares the statements and warms the caches.
        if _round:
            for side, times in took.items():
                single.setdefault((name, side), []).append(quartiles(times)[1] * 1e6)
    _show_single(single)

    bulk: dict[tuple[str, str], list[float]] = {}
    for town in towns:
        sides_of_bulk: dict[str, Callable[[Places], Any]] = {
            "ours": lambda p, t=town: CellIndex(t.ids, t.codes, t.shapes).locate(*p.T),
            "STRtree of the cells": lambda p, t=town: shapely.STRtree(t.shapes).query(
                shapely.points(p), predicate="intersects"
            ),
            "STRtree of the places": lambda p, t=town: shapely.STRtree(shapely.points(p)).query(
                t.shapes, predicate="covers"
            ),
            "COPY and join": lambda p, t=town: _join(t, p),
        }
        for _round, side in interleaved(list(sides_of_bulk)):
            places_ = town.places(BULK_SQL if side == "COPY and join" else BULK, rng)
            shapely.destroy_prepared(town.shapes)  # else a round would profit from the one before
            begun = time.perf_counter()
            sides_of_bulk[side](places_)
            bulk.setdefault((town.name, side), []).append((time.perf_counter() - begun) / len(places_) * 1e6)
    _show_bulk(bulk)
    report("locate", [*_single_bars(single), *_bulk_bars(bulk)])
    return 0


def _show_single(taken: dict[tuple[str, str], list[float]]) -> None:
    print(f"single lookup, µs: median of {ROUNDS} rounds of {SINGLES} (quartiles)\n")
    sides = dict.fromkeys(side for _, side in taken)
    table(["side", *SIZES], [[side, *(spread(taken[size, side]) for size in SIZES)] for side in sides])


def _show_bulk(taken: dict[tuple[str, str], list[float]]) -> None:
    print(f"bulk, µs a place: median of {ROUNDS} rounds of {BULK:,} places (PostgreSQL {BULK_SQL:,})\n")
    sides = dict.fromkeys(side for _, side in taken)
    table(["side", *SIZES], [[side, *(spread(taken[size, side], 2) for size in SIZES)] for side in sides])


def _single_bars(taken: dict[tuple[str, str], list[float]]) -> Iterator[Bar]:
    for size in SIZES:
        ratios = [own / bare for own, bare in zip(taken[size, "ours"], taken[size, "bare"], strict=True)]
        yield Bar(f"single at {size}, × the bare statement", ratios, 2, at_least=False)
    first, *_between, last = SIZES
    growth = [b / a for a, b in zip(taken[first, "ours"], taken[last, "ours"], strict=True)]
    yield Bar(f"single, {last} against {first}", growth, 2, at_least=False)


def _bulk_bars(taken: dict[tuple[str, str], list[float]]) -> Iterator[Bar]:
    for size in SIZES:
        peers = [values for (of, side), values in taken.items() if of == size and side != "ours"]
        best = min(peers, key=lambda values: quartiles(values)[1])
        ratios = [own / other for own, other in zip(taken[size, "ours"], best, strict=True)]
        yield Bar(f"bulk at {size}, × the best peer", ratios, 1.3, at_least=False)


def _join(town: Town, places: Places) -> None:
    with town.bare.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS place; CREATE TEMP TABLE place (n int, point geometry)")
        wkb = shapely.to_wkb(shapely.set_srid(shapely.points(places), 4326), hex=True, include_srid=True)
        with cursor.copy("COPY place FROM STDIN") as copy:
            copy.write("".join(f"{n}\t{point}\n" for n, point in enumerate(wkb)))
        cursor.execute("ANALYZE place")
        cursor.execute(JOIN).fetchall()


@contextlib.contextmanager
def _on_one_core(town: Town) -> Iterator[None]:
    """Client and server take turns on one core: else where the kernel happens to put them decides, not the code."""
    with town.wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        servers = [cursor.fetchone()[0], town.bare.info.backend_pid]
    held = {pid: os.sched_getaffinity(pid) for pid in (0, *servers)}
    core = {max(held[0])}
    with contextlib.suppress(PermissionError):
        for pid in held:
            os.sched_setaffinity(pid, core)
    yield
    with contextlib.suppress(PermissionError):
        for pid, cores in held.items():
            os.sched_setaffinity(pid, cores)


# --- the towns ------------------------------------------------------------------------------------------------------


def _demo() -> Path:
    from django.conf import settings

    return Path(settings.BASE_DIR, "fixtures", "qingshan")


def _build(name: str, number: int) -> Town:
    from django.core.management import call_command
    from django.db import connections

    from gridmap.bulk import read_cells
    from gridmap.loading import build_district
    from gridmap.models import District

    begun = time.perf_counter()
    with connections["default"].cursor() as cursor:
        cursor.execute(f"CREATE DATABASE bench_{number}")
    wrapper = connections["default"].copy()
    wrapper.settings_dict["NAME"] = f"bench_{number}"
    connections["default"] = wrapper
    call_command("migrate", verbosity=0)
    if number:
        _fill(wrapper, make_cells(number))
    else:
        build_district(_demo())
    with wrapper.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE gridmap_cell")
    built = time.perf_counter() - begun
    index = read_cells(CODE)
    town = Town(name, wrapper, index.boundaries, District.objects.get(pk=CODE))
    town.ids, town.codes = index.ids, index.codes
    read = time.perf_counter() - begun - built
    print(
        f"{name}: {len(index.ids):,} cells, built in {built:.0f} s, read in {read:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return town


_COLUMNS = (
    "id, lineage, valid_from, district_id, code, committee_id, regional_group_id, street_id, community_id, "
    "party_group_id, synthetic, boundary"
)


def _fill(wrapper: Any, shapes: Shapes) -> None:
    """Rows of the project's own table; constraints and indexes come after them, the exclusions not at all."""
    from django.contrib.gis.geos import MultiPolygon, Polygon

    from gridmap.models import District, GridUnit, Level

    district = District.objects.create(code=CODE, name="测", name_en="Bench")
    area = MultiPolygon(Polygon.from_bbox(shapely.total_bounds(shapes).tolist()), srid=4326)
    units: list[GridUnit] = []
    for level in Level:
        above = {1: None, 2: 0, 3: 0, 4: 2, 5: 3}[level.value]
        parent = units[above] if above is not None else None
        units.append(
            GridUnit.objects.create(
                district=district,
                level=level,
                code=f"{CODE}{level.value}",
                name=str(level),
                area_name=str(level),
                parent=parent,
                parent_level=parent.level if parent else None,
                boundary=area,
            )
        )
    owners = "\t".join(str(unit.pk) for unit in units)
    wrapper.ensure_connection()
    held = wrapper.connection
    with held.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'gridmap_cell' AND indexname NOT IN "
            "(SELECT conname FROM pg_constraint WHERE conrelid = 'gridmap_cell'::regclass)"
        )
        indexes = cursor.fetchall()
        for name, _definition in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(
            "ALTER TABLE gridmap_cell DROP CONSTRAINT a_cell_code_means_one_cell_at_a_time, "
            "DROP CONSTRAINT a_cell_has_one_version_at_a_time"
        )
        with psycopg.Cursor(held).copy(f"COPY gridmap_cell ({_COLUMNS}) FROM STDIN") as copy:
            for begin in range(0, len(shapes), 20_000):
                part = shapely.set_srid(shapes[begin : begin + 20_000], 4326)
                copy.write(
                    "".join(
                        f"{n:032x}\t{n:032x}\t2026-01-01\t{CODE}\t{n:015}\t{owners}\tt\t{wkb}\n"
                        for n, wkb in enumerate(shapely.to_wkb(part, hex=True, include_srid=True), begin)
                    )
                )
        cursor.execute("SET maintenance_work_mem = '256MB'")
        for _name, definition in indexes:
            cursor.execute(definition)
        cursor.execute("SET session_replication_role = origin")


if __name__ == "__main__":
    sys.exit(main())
