"""The table of speeds as a picture: one bar a contender and cell, ours is 1."""

from collections.abc import Sequence
from html import escape

ROW, LEFT, WIDTH = 18, 260, 420
COLOURS = ("#1b6e8c", "#c8752d", "#6b8e23", "#8a5a9e", "#9aa5ab", "#9aa5ab", "#9aa5ab")
MOST = 2.0


def svg(rows: Sequence[Sequence[str]]) -> str:
    """`rows` as `speed.rows` gives them: cell, who, …, speed to the first. Bars end at twice ours."""
    lines, y, cell, colour = [], 30, "", 0
    for row in rows:
        if row[0] != cell:
            cell, colour, y = row[0], 0, y + 22
            lines.append(f'<text x="8" y="{y - 4}" font-weight="bold">{escape(cell)}</text>')
        speed = float(row[6])
        width = min(speed, MOST) / MOST * WIDTH
        lines.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(row[1])}</text>')
        lines.append(
            f'<rect x="{LEFT}" y="{y + 2}" width="{width:.0f}" height="{ROW - 4}" fill="{COLOURS[colour]}"/>'
        )
        lines.append(f'<text x="{LEFT + width + 6:.0f}" y="{y + 13}">{speed:.2f}</text>')
        colour, y = min(colour + 1, len(COLOURS) - 1), y + ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{y + 20}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        '<text x="8" y="20">Speed of fetching beside market-photos sync (1.00), more is faster</text>'
        f"{''.join(lines)}</svg>\n"
    )


def rows_of(text: str) -> list[list[str]]:
    """The table of speeds in a text of results; nothing where it is not there."""
    section = text.partition("## Side by side")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if "|" in line]
    return [row for row in cells[2:] if len(row) == len(cells[0])]
