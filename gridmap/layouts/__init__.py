"""Changing the grid: a draft is drawn up by the verbs below, checked, and put in force as a whole.

`plan` the grid in memory · `drafts` what is stored of a draft, and its life · `edits` the verbs · `proposals` a draft
out of a whole layer · `checks` · `differences` · `force`.

An organisation keeps its code and its parent for ever, since cells of the past name both. Handing one over therefore
begins another, with a code below the new parent, that takes the place of the former (`former`).
"""

from .checks import check_grid, check_layout
from .differences import Difference, diff, differences_in_words
from .drafts import LayoutSettled, day_begins, discard_layout, draft_layout, lock_draft, read_draft, revise
from .edits import begin_unit, dissolve_unit, hand_over, merge_cells, rename_unit, split_cell
from .force import PutInForce, put_in_force
from .plan import CELLS, CellPlan, Grid, LayoutRefused, UnitPlan, as_geos, read_grid
from .proposals import LayerRow, propose_layer

__all__ = [
    "CELLS",
    "CellPlan",
    "Difference",
    "Grid",
    "LayerRow",
    "LayoutRefused",
    "LayoutSettled",
    "PutInForce",
    "UnitPlan",
    "as_geos",
    "begin_unit",
    "check_grid",
    "check_layout",
    "day_begins",
    "diff",
    "differences_in_words",
    "discard_layout",
    "dissolve_unit",
    "draft_layout",
    "hand_over",
    "lock_draft",
    "merge_cells",
    "propose_layer",
    "put_in_force",
    "read_draft",
    "read_grid",
    "rename_unit",
    "revise",
    "split_cell",
]
