"""What a layout changes, line by line, for people to look at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from gridmap.models import Layout, LayoutState, LayoutUnit, Level

from .drafts import read_draft, unit_changes
from .plan import CELLS


@dataclass(frozen=True)
class Difference:
    """One line of what a layout changes: `added`, `changed`, `moved` (another owner), `ended`; level 6 are cells."""

    change: str
    level: int
    code: str
    former: tuple[str, ...] = ()
    owner: str = ""
    former_owner: str = ""


def diff(layout: Layout) -> list[Difference]:
    """What a draft changes, level by level; of one in force, what it changed."""
    if layout.state != LayoutState.DRAFT:
        return list(_differences_stored(layout))
    base, target, _faults = read_draft(layout)
    found = []
    heirs = {former for unit in target.units.values() for former in unit.former}
    for change, unit in unit_changes(base, target):
        if change == LayoutUnit.Change.BEGIN:
            what = "moved" if unit.former else "added"
            found.append(Difference(what, unit.level, unit.code, unit.former, unit.parent))
        elif change == LayoutUnit.Change.DESCRIBE:
            found.append(Difference("changed", unit.level, unit.code))
        elif unit.code not in heirs:
            found.append(Difference("ended", unit.level, unit.code))
    by_lineage = {cell.lineage: cell for cell in base.cells.values()}
    begun = [cell for cell in target.cells.values() if cell.version is None]
    for cell in begun:
        before = by_lineage.get(cell.lineage)
        if before is None:
            found.append(Difference("added", CELLS, cell.code, cell.former, cell.party_group))
            continue
        owners = (before.party_group, before.regional_group)
        moved = owners != (cell.party_group, cell.regional_group)
        found.append(
            Difference(
                *("moved" if moved else "changed", CELLS, cell.code, (before.code,)),
                owner=cell.party_group,
                former_owner=before.party_group,
            )
        )
    lineages = {cell.lineage for cell in target.cells.values()}
    for before in base.cells.values():
        if before.lineage not in lineages:
            found.append(Difference("ended", CELLS, before.code, (), "", before.party_group))
    return sorted(found, key=lambda each: (each.level, each.code, each.change))


def differences_in_words(differences: Iterable[Difference]) -> list[str]:
    """Each line for people."""
    words = {
        "added": _("%(what)s %(code)s begins"),
        "changed": _("%(what)s %(code)s is drawn or described anew"),
        "moved": _("%(what)s %(code)s gets another owner"),
        "ended": _("%(what)s %(code)s ends"),
    }
    told = []
    for line in differences:
        what = _("Cell") if line.level == CELLS else Level(line.level).label
        text = words[line.change] % {"what": what, "code": line.code}
        former = [code for code in line.former if code != line.code]
        if line.owner and line.former_owner and line.owner != line.former_owner:
            text += _(": from %(from)s to %(to)s") % {"from": line.former_owner, "to": line.owner}
        if former:
            text += _(", out of %(former)s") % {"former": ", ".join(former)}
        told.append(text)
    return told


def _differences_stored(layout: Layout) -> Iterator[Difference]:
    words = {"begin": "added", "describe": "changed", "dissolve": "ended"}
    for unit in layout.units.all():
        yield Difference(words[unit.change], unit.level, unit.code, tuple(unit.former), unit.parent)
    ended = {cell.lineage: cell for cell in layout.ends.select_related("party_group").defer("boundary")}
    for cell in layout.cells.defer("boundary"):
        before = ended.pop(cell.lineage, None)
        if before is None:
            yield Difference("added", CELLS, cell.code, tuple(cell.former), cell.party_group)
        else:
            moved = before.party_group.code != cell.party_group
            yield Difference(
                *("moved" if moved else "changed", CELLS, cell.code, (before.code,)),
                owner=cell.party_group,
                former_owner=before.party_group.code,
            )
    for before in ended.values():
        yield Difference("ended", CELLS, before.code, (), "", before.party_group.code)
