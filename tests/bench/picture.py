"""Small line charts as one SVG, readable on light and on dark pages: no library, a few hundred bytes a chart."""

import dataclasses
import html
import math

WIDTH, HEIGHT = 420, 250  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 26, 50, 46
HEAD = 44

STYLE = """
  .page { fill: #fcfcfb } .ink { fill: #1a1a19 } .soft { fill: #5f5e5a }
  .grid { stroke: #e4e3df; stroke-width: 1 } .axis { stroke: #b4b2ab; stroke-width: 1 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
  .s0 { stroke: #2a6fc9 } .d0 { fill: #2a6fc9 } .s1 { stroke: #8d8b84; stroke-dasharray: 5 4 } .d1 { fill: #8d8b84 }
  .dot { stroke: #fcfcfb; stroke-width: 2 }
  text { font: 12px system-ui, sans-serif } .title { font-weight: 600; font-size: 14px } .head { font-weight: 600; font-size: 17px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #1a1a19 } .ink { fill: #f3f2ee } .soft { fill: #b4b2ab }
    .grid { stroke: #32312f } .axis { stroke: #5f5e5a }
    .s0 { stroke: #5c9cf0 } .d0 { fill: #5c9cf0 } .s1 { stroke: #93918a } .d1 { fill: #93918a } .dot { stroke: #1a1a19 }
  }
"""


@dataclasses.dataclass
class Panel:
    title: str
    below: str  # what the horizontal axis, which is logarithmic, counts
    series: dict  # at most two: name -> [(x, y), ...]; the first one is ours and carries its values
    digits: int  # of the values, behind the point


def short(n):
    return f"{n // 1000000} M" if n >= 1000000 else f"{n:,}"


def nice_top(value):
    """The end of an axis from 0 with four steps."""
    step = value / 4
    size = 10 ** math.floor(math.log10(step))
    return next(m * size for m in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if m * size >= step) * 4


def text(x, y, what, kind="soft", anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(str(what))}</text>'


class Plot:
    """Where the values of a panel stand."""

    def __init__(self, panel, left, top):
        points = [p for s in panel.series.values() for p in s]
        self.x0, self.x1 = left + LEFT, left + WIDTH - RIGHT
        self.y0, self.y1 = top + HEIGHT - BOTTOM, top + TOP
        self.low, self.high = (math.log10(f(x for x, _ in points)) for f in (min, max))
        self.end = nice_top(max(y for _, y in points) * 1.1)

    def x(self, value):
        return self.x0 + 14 + (self.x1 - self.x0 - 28) * (math.log10(value) - self.low) / (self.high - self.low)

    def y(self, value):
        return self.y0 - (self.y0 - self.y1) * value / self.end


def axes(panel, plot):
    out = []
    for i in range(5):
        value = plot.end * i / 4
        y = plot.y(value)
        out.append(f'<line class="{"grid" if i else "axis"}" x1="{plot.x0}" x2="{plot.x1}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(text(plot.x0 - 8, y + 4, f"{value:,.10g}", anchor="end"))
    for x, _ in next(iter(panel.series.values())):
        out.append(text(plot.x(x), plot.y0 + 18, short(x), anchor="middle"))
    out.append(text((plot.x0 + plot.x1) / 2, plot.y0 + 36, panel.below, anchor="middle"))
    return out


def curve(panel, plot, number, name, points):
    out = [f'<polyline class="line s{number}" points="{" ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)}"/>']
    for x, y in points:
        title = html.escape(f"{name}, {x:,} {panel.below}: {y:,.{panel.digits}f}")
        out.append(f'<circle class="dot d{number}" cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="5"><title>{title}</title></circle>')
        if number == 0:
            out.append(text(plot.x(x), plot.y(y) - 11, f"{y:,.{panel.digits}f}", "ink", "middle"))
    return out


def legend(panel, left, top):
    """Only where there are two lines."""
    out, x = [], left + LEFT
    for number, name in enumerate(panel.series) if len(panel.series) > 1 else ():
        out.append(f'<line class="line s{number}" x1="{x}" x2="{x + 22}" y1="{top + 32}" y2="{top + 32}"/>')
        out.append(text(x + 28, top + 36, name))
        x += 46 + 7 * len(name)
    return out


def draw_panel(panel, left, top):
    plot = Plot(panel, left, top)
    out = [text(left + LEFT - 38, top + 14, panel.title, "ink title"), *legend(panel, left, top), *axes(panel, plot)]
    for number, (name, points) in reversed(list(enumerate(panel.series.items()))):
        out += curve(panel, plot, number, name, points)
    return out


def draw(title, panels):
    """The whole picture, two panels a row."""
    width, height = 2 * WIDTH + 20, HEAD + (len(panels) + 1) // 2 * (HEIGHT + 14) + 8
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{html.escape(title)}">',
           f"<style>{STYLE}</style>", f'<rect class="page" width="{width}" height="{height}" rx="8"/>', text(14, 28, title, "ink head")]
    for i, panel in enumerate(panels):
        out += draw_panel(panel, i % 2 * (WIDTH + 10), HEAD + i // 2 * (HEIGHT + 14))
    return "\n".join([*out, "</svg>"]) + "\n"
