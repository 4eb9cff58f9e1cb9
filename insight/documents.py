"""Bulletins as documents, in the language that is active: Excel with native charts, PDF with drawn ones.

Both are made from the same tables, these from the figures that the bulletin keeps.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from openpyxl import Workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from reportlab.graphics.charts.barcharts import HorizontalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from fieldops.models import Channel
from gridmap.models import Level
from gridmap.spreadsheets import cell_of

from .facts import COUNTS
from .indicators import INDICATORS
from .models import Bulletin

log = logging.getLogger(__name__)
SHOWN_COUNTS = (
    *(
        "reports",
        "reported",
        "accepted",
        "filed",
        "to_dispatch",
        "to_handle",
        "handled",
        "to_close",
        "closed",
    ),
    *("closed_in_time", "overdue", "reworked", "returns", "ping_pong", "reopened", "supervised"),
)
LEAGUE = ("closing_rate", "closed_on_time_rate", "overdue_rate", "rework_rate", "satisfaction_rate")
RANKED_BY = "closed_on_time_rate"
MOST_CLASSES = 15
INK, PALE = "0B5A8F", "EAF0F5"
FONT = "Bulletin"
# Without the embedded font: one by name, which most readers of PDF replace and some show as nothing.
FONT_BY_NAME = "STSong-Light"
_NO_TITLE = re.compile(r"[:\\/?*\[\]]")  # what Excel takes for something else


@dataclass(frozen=True)
class Sheet:
    """A table: its heading, columns and rows.

    `percents` are columns of fractions, `change` the column that tells differences, `chart` the one that is drawn.
    """

    title: str
    headings: list[str]
    rows: list[list[Any]]
    percents: tuple[int, ...] = ()
    chart: int | None = None
    change: int | None = None


def title_of(bulletin: Bulletin) -> str:
    """Whose, which and of when."""
    days = str(bulletin.first) if bulletin.first == bulletin.last else f"{bulletin.first} – {bulletin.last}"
    facts = {"unit": _name(bulletin.unit), "kind": bulletin.get_kind_display(), "days": days}
    return _("%(unit)s: %(kind)s bulletin, %(days)s") % facts


def sheets_of(bulletin: Bulletin) -> list[Sheet]:
    """Everything it tells, table by table."""
    figures = bulletin.figures
    below = Level.COMMUNITY if bulletin.unit.level == Level.STREET_COMMITTEE else Level.STREET_COMMITTEE
    return [
        _indicators(figures),
        _counts(figures),
        _league(str(below.label), figures["parts"], figures["denominators"]),
        _departments(figures),
        _most(_("Class"), figures["classes"]),
        _channels(figures),
    ]


def as_workbook(bulletin: Bulletin) -> bytes:
    """Excel: one sheet a table, charts beside them."""
    book = Workbook()
    book.remove(book.active)
    for sheet in sheets_of(bulletin):
        page = book.create_sheet(_NO_TITLE.sub(" ", sheet.title)[:31])
        page.append([cell_of(title_of(bulletin))])
        page["A1"].font = Font(bold=True, size=13)
        page.append([_as_of(bulletin)])
        page.append([])
        page.append([cell_of(heading) for heading in sheet.headings])
        for values in sheet.rows:
            page.append([cell_of(value) for value in values])
        for cell in page[4]:
            cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=PALE)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
        for column in sheet.percents:
            for row in range(5, 5 + len(sheet.rows)):
                page.cell(row, column + 1).number_format = (
                    "+0.00%;-0.00%;0.00%" if column == sheet.change else "0.00%"
                )
        page.freeze_panes = "B5"
        page.column_dimensions["A"].width = 34
        for column in range(2, len(sheet.headings) + 1):
            page.column_dimensions[get_column_letter(column)].width = 14
        if sheet.chart is not None and sheet.rows:
            page.add_chart(
                _excel_chart(page, sheet, sheet.chart), f"{get_column_letter(len(sheet.headings) + 2)}4"
            )
    told = BytesIO()
    book.save(told)
    return told.getvalue()


def as_pdf(bulletin: Bulletin) -> bytes:
    """A4: a table after the other, charts below them."""
    font = _font()
    title = title_of(bulletin)
    told = BytesIO()
    document = SimpleDocTemplate(
        told,
        pagesize=A4,
        title=title,
        author="",
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=16 * mm,
        bottomMargin=16 * mm,
    )
    text = ParagraphStyle("text", fontName=font, fontSize=9, leading=12, wordWrap="CJK")
    head = ParagraphStyle("head", parent=text, fontSize=16, leading=22, textColor=f"#{INK}")
    note = ParagraphStyle("note", parent=text, fontSize=8, alignment=TA_CENTER)
    part = ParagraphStyle(
        "part", parent=text, fontSize=12, leading=16, spaceBefore=10, spaceAfter=4, keepWithNext=1
    )

    def numbered(canvas: Any, page: Any) -> None:
        canvas.setFont(font, 8)
        canvas.drawCentredString(A4[0] / 2, 9 * mm, str(page.page))

    story: list[Any] = [Paragraph(escape(title), head), Paragraph(escape(_as_of(bulletin)), text)]
    for sheet in sheets_of(bulletin):
        if not sheet.rows:
            continue
        story += [Paragraph(escape(sheet.title), part), _pdf_table(sheet, text, document.width)]
        if sheet.chart is not None:
            caption = Paragraph(
                escape(sheet.headings[sheet.chart] + (" (%)" if sheet.chart in sheet.percents else "")), note
            )
            story.append(
                KeepTogether([Spacer(1, 6), caption, _pdf_chart(sheet, sheet.chart, document.width, font)])
            )
    document.build(story, onFirstPage=numbered, onLaterPages=numbered)
    return told.getvalue()


# --- tables -----------------------------------------------------------------------------------------------------------


def _indicators(figures: dict[str, Any]) -> Sheet:
    rows = []
    for one in INDICATORS.values():
        choice = figures["denominators"].get(one.code, "")
        now, then = (_value(one.code, figures[which], choice) for which in ("whole", "before"))
        change = None if now is None or then is None else now - then
        above, below = one.numerator, one.denominator(choice)
        parts = f"{above.of(_all(figures['whole'])):g} / {below.of(_all(figures['whole'])):g}"
        rows.append([str(one.label), now, then, change, parts])
    headings = [_("Indicator"), _("This period"), _("Period before"), _("Change in points"), _("Counted")]
    return Sheet(_("Key figures"), headings, rows, percents=(1, 2, 3), change=3)


def _counts(figures: dict[str, Any]) -> Sheet:
    whole, before = _all(figures["whole"]), _all(figures["before"])
    rows = [
        [str(COUNTS[code].label), whole[code], before[code], whole[code] - before[code]]
        for code in SHOWN_COUNTS
    ]
    return Sheet(
        _("Counts"), [_("Count"), _("This period"), _("Period before"), _("Difference")], rows, change=3
    )


def _league(title: str, lines: Sequence[dict[str, Any]], denominators: dict[str, str]) -> Sheet:
    rows = [
        [
            _name_in(line),
            *(line["counts"].get(code, 0) for code in ("reported", "to_close")),
            *(_value(code, line["counts"], denominators.get(code, "")) for code in LEAGUE),
        ]
        for line in lines
    ]
    column = 3 + LEAGUE.index(RANKED_BY)
    rows.sort(key=lambda row: (row[column] is None, -(row[column] or 0), row[0]))
    headings = [title, *(str(COUNTS[code].label) for code in ("reported", "to_close"))]
    headings += [str(INDICATORS[code].label) for code in LEAGUE]
    return Sheet(
        _("League, %s") % title, headings, rows, percents=tuple(range(3, 3 + len(LEAGUE))), chart=column
    )


def _departments(figures: dict[str, Any]) -> Sheet:
    chosen = figures["denominators"]
    codes = ("handled_on_time_rate", "closing_rate", "rework_rate")
    rows = []
    for line in figures["departments"]:
        points, grade, _colour = figures["scores"].get(line["key"], (None, "", ""))
        rates = [_value(code, line["counts"], chosen.get(code, "")) for code in codes]
        rows.append(
            [_name_in(line), line["counts"].get("to_handle", 0), *rates, points and round(points, 1), grade]
        )
    rows.sort(key=lambda row: (row[5] is None, -(row[5] or 0), row[0]))
    headings = [
        _("Department"),
        str(COUNTS["to_handle"].label),
        *(str(INDICATORS[code].label) for code in codes),
    ]
    title = _("League, %s") % _("Departments")
    return Sheet(title, [*headings, _("Score"), _("Grade")], rows, percents=(2, 3, 4), chart=5)


def _most(title: str, lines: list[dict[str, Any]]) -> Sheet:
    rows = [
        [_name_in(line), line["counts"].get("reported", 0), line["counts"].get("overdue", 0)]
        for line in lines
    ]
    rows = sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0]))
    headings = [title, *(str(COUNTS[code].label) for code in ("reported", "overdue"))]
    return Sheet(_("Most frequent classes"), headings, rows[:MOST_CLASSES], chart=1)


def _channels(figures: dict[str, Any]) -> Sheet:
    labels = {one.value: str(one.label) for one in Channel}
    rows = [
        [labels.get(line["key"], line["key"]), line["counts"].get("reports", 0)]
        for line in figures["channels"]
    ]
    rows = sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0]))
    return Sheet(_("Channels"), [_("Channel"), str(COUNTS["reports"].label)], rows, chart=1)


def _all(counts: dict[str, int]) -> dict[str, int]:
    """Counts that were not yet counted when it was made are none."""
    return {code: counts.get(code, 0) for code in COUNTS}


def _value(code: str, counts: dict[str, int], choice: str) -> float | None:
    return INDICATORS[code].value(_all(counts), choice)


def _name(unit: Any) -> str:
    return str((_english() and unit.name_en) or unit.name)


def _name_in(line: dict[str, Any]) -> str:
    return str((_english() and line["name_en"]) or line["name"])


def _english() -> bool:
    return (get_language() or "").startswith("en")


def _as_of(bulletin: Bulletin) -> str:
    local = bulletin.as_of.astimezone(ZoneInfo(bulletin.district.time_zone))
    return _("Counted as of %(moment)s (%(zone)s)") % {
        "moment": f"{local:%Y-%m-%d %H:%M}",
        "zone": bulletin.district.time_zone,
    }


# --- charts -----------------------------------------------------------------------------------------------------------


def _excel_chart(page: Any, sheet: Sheet, column: int) -> BarChart:
    last = 4 + len(sheet.rows)
    chart = BarChart()
    chart.type, chart.style, chart.legend = "bar", 10, None
    chart.title = sheet.headings[column]
    chart.add_data(Reference(page, min_col=column + 1, min_row=4, max_row=last), titles_from_data=True)
    chart.set_categories(Reference(page, min_col=1, min_row=5, max_row=last))
    chart.x_axis.scaling.orientation = "maxMin"  # the first row on top
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.height, chart.width = max(6, 0.6 * len(sheet.rows) + 2), 18
    return chart


def _font() -> str:
    """The name of the font, registered once; the characters that a document uses are embedded in it."""
    for name in (FONT, FONT_BY_NAME):
        if name in pdfmetrics.getRegisteredFontNames():
            return name
    try:
        pdfmetrics.registerFont(TTFont(FONT, settings.PDF_FONT, subfontIndex=0))
    except TTFError:
        log.exception("no font is embedded in bulletins: PDF_FONT cannot be used")
        pdfmetrics.registerFont(UnicodeCIDFont(FONT_BY_NAME))
        return FONT_BY_NAME
    return FONT


def _pdf_table(sheet: Sheet, text: ParagraphStyle, width: float) -> Table:
    first = 0.3 * width
    widths = [first, *([(width - first) / (len(sheet.headings) - 1)] * (len(sheet.headings) - 1))]
    number = ParagraphStyle("number", parent=text, alignment=TA_RIGHT)
    styles = [text, *([number] * (len(sheet.headings) - 1))]
    rows = [
        [Paragraph(escape(told), style) for told, style in zip(line, styles, strict=True)]
        for line in _in_words(sheet)
    ]
    table = Table(rows, widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor(f"#{PALE}")),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.HexColor("#C5CFD8")),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ]
        )
    )
    return table


def _pdf_chart(sheet: Sheet, column: int, width: float, font: str) -> Drawing:
    shown = sheet.rows[:20]
    factor = 100 if column in sheet.percents else 1
    values = [factor * (row[column] or 0) for row in shown]
    height = 12 * len(shown) + 24
    drawing = Drawing(width, height)
    chart = HorizontalBarChart()
    chart.x, chart.y, chart.width, chart.height = 0.3 * width, 18, 0.66 * width, height - 24
    chart.data = [list(reversed(values))]
    chart.categoryAxis.categoryNames = [_shortened(row[0], font, chart.x - 8) for row in reversed(shown)]
    chart.categoryAxis.labels.fontName = chart.valueAxis.labels.fontName = font
    chart.categoryAxis.labels.fontSize = chart.valueAxis.labels.fontSize = 8
    chart.valueAxis.valueMin = 0
    chart.valueAxis.valueMax = 100 if factor == 100 else max(1, *values) * 1.1
    chart.bars[0].fillColor = colors.HexColor(f"#{INK}")
    chart.bars[0].strokeColor = None
    drawing.add(chart)
    return drawing


def _shortened(name: str, font: str, width: float) -> str:
    """As much of a name as has room beside its bar; the table above has all of it."""
    if pdfmetrics.stringWidth(name, font, 8) <= width:
        return name
    while name and pdfmetrics.stringWidth(f"{name}…", font, 8) > width:
        name = name[:-1]
    return f"{name}…"


def _in_words(sheet: Sheet) -> list[list[str]]:
    """Headings and rows; a change of a share is told in percentage points."""

    def told(value: Any, column: int) -> str:
        if value is None or value == "":
            return "–"
        if column == sheet.change:
            words = f"{100 * value:+.2f}" if column in sheet.percents else f"{value:+d}"
            return words if words.strip("+-0.") else words.lstrip("+-")
        return f"{100 * value:.2f} %" if column in sheet.percents else str(value)

    rows = [[told(value, column) for column, value in enumerate(row)] for row in sheet.rows]
    return [sheet.headings, *rows]
