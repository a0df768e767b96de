"""Charts of a comparison as SVG, from the rows of its CSV file alone."""

import html
import math

import report

# Colours that stay apart for people who see red and green alike; ours is the dark one.
COLORS = {"hgnet": "#1b1b1b", "onnxruntime": "#0072b2", "openvino": "#d55e00", "mnn": "#009e73",
          "mnn-accurate": "#56b4e9", "ncnn": "#cc79a7", "ncnn-accurate": "#a0519a", "paddle-inference": "#8c6d1f",
          "pytorch": "#e69f00", "pytorch-compiled": "#999999"}
FONT = 'font-family="system-ui, sans-serif"'


class Panel:
    """A pair of axes at a place of the picture; a logarithmic axis is marked as such."""

    def __init__(self, left, top, width, height, x_range, y_range, x_log=False, y_log=False):
        self.left, self.top, self.width, self.height = left, top, width, height
        self.ranges, self.logs, self.parts = (x_range, y_range), (x_log, y_log), []

    def share(self, value, axis):
        (low, high), scale = self.ranges[axis], math.log if self.logs[axis] else float
        return (scale(value) - scale(low)) / ((scale(high) - scale(low)) or 1)

    def x(self, value):
        return self.left + self.width * self.share(value, 0)

    def y(self, value):
        return self.top + self.height * (1 - self.share(value, 1))

    def text(self, x, y, words, anchor="middle", size=11, color="#444", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}" '
                          f'font-weight="{weight}">{html.escape(str(words))}</text>')

    def line(self, x1, y1, x2, y2, color="#ddd", width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
                          f'stroke-width="{width}"/>')

    def path(self, points, color, dashed=False, width=2):
        steps = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{steps}" fill="none" stroke="{color}" stroke-width="{width}"{dash}/>')

    def dot(self, x, y, color, filled=True, title=""):
        self.parts.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" stroke="{color}" stroke-width="1.5" '
                          f'fill="{color if filled else "white"}"><title>{html.escape(title)}</title></circle>')

    def frame(self, title, x_ticks, y_ticks):
        """The grid; ticks are pairs of a value and its label."""
        self.text(self.left, self.top - 10, title, "start", 13, "#111", "bold")
        for value, label in y_ticks:
            self.line(self.left, self.y(value), self.left + self.width, self.y(value))
            self.text(self.left - 6, self.y(value) + 4, label, "end")
        for value, label in x_ticks:
            self.text(self.x(value), self.top + self.height + 16, label)


def picture(width, height, title, note, panels, legend):
    """The whole SVG: title, panels, and a legend of (label, colour, dashed) at the foot."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}" {FONT}>', f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="20" y="28" font-size="16" font-weight="bold" fill="#111">{html.escape(title)}</text>',
             f'<text x="20" y="46" font-size="11" fill="#444">{html.escape(note)}</text>']
    for panel in panels:
        parts += panel.parts
    x, y = 20, height - 32
    for label, color, dashed in legend:
        if x + 34 + 7 * len(label) > width:
            x, y = 20, y + 18
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{color}" stroke-width="3"{dash}/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}" font-size="12" fill="#111">{html.escape(label)}</text>')
        x += 46 + 7 * len(label)
    return "\n".join(parts + ["</svg>", ""])


def round_ticks(low, high, steps):
    """The values of `steps` times a power of ten that lie in a range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (step * 10.0 ** exponent for exponent in exponents for step in steps)
    return [(value, f"{value:g}") for value in values if low <= value <= high * 1.0001]


def comparison(rows, tolerance):
    """A panel for each batch and number of threads: the time of every engine ÷ ours, over the models."""
    cells = report.by_cell(rows)
    columns = sorted({cell[1:] for cell in cells}, key=lambda key: tuple(map(int, (key[2], key[0], key[1]))))
    models = list(dict.fromkeys(cell[0] for cell in cells))
    shown = {}  # column → engine → [(position, ratio, accurate)]
    for cell, engines in cells.items():
        ours = engines.get("hgnet")
        if not ours or not report.is_measured(ours):
            continue
        for name, row in engines.items():
            if name != "hgnet" and report.is_measured(row):
                shown.setdefault(cell[1:], {}).setdefault(name, []).append(
                    (models.index(cell[0]), float(row["minimum_ms"]) / float(ours["minimum_ms"]),
                     report.is_accurate(row, tolerance)))
    ratios = [point[1] for engines in shown.values() for points in engines.values() for point in points]
    if not ratios:
        return None
    low, high = min(0.9, min(ratios)) / 1.05, max(1.5, max(ratios)) * 1.05
    panels, across = [], min(2, len(columns))
    for index, column in enumerate(columns):
        batch, side, threads = column
        panel = Panel(70 + 470 * (index % across), 90 + 300 * (index // across), 380, 220,
                      (-0.4, len(models) - 0.6), (low, high), y_log=True)
        size = "" if side == "224" else f", {side}x{side}"
        panel.frame(f"{threads} thread{'' if threads == '1' else 's'}, batch {batch}{size}",
                    [(place, report.short(model)) for place, model in enumerate(models)],
                    round_ticks(low, high, (1, 1.2, 1.5, 2, 3, 4, 5, 7)))
        panel.line(panel.left, panel.y(1), panel.left + panel.width, panel.y(1), COLORS["hgnet"], 2)
        for name, points in shown.get(column, {}).items():
            points.sort()
            panel.path([point[:2] for point in points], COLORS.get(name, "#777"), width=1)
            for place, ratio, accurate in points:
                panel.dot(place, ratio, COLORS.get(name, "#777"), accurate,
                          f"{name}, {report.short(models[place])}: {ratio:.2f}")
        panels.append(panel)
    names = list(dict.fromkeys(name for engines in shown.values() for name in engines))
    height = 90 + 300 * math.ceil(len(columns) / across) + 40
    return picture(70 + 470 * across, height, "Time of a run ÷ that of hgnet (the dark line); higher is slower",
                   f"minima of interleaved rounds, {rows[0]['cpu']}; hollow: logits differ by more than {tolerance:g}",
                   panels, [(name, COLORS.get(name, "#777"), False) for name in ["hgnet", *names]])


def growth(rows, axis, tolerance):
    """Time and peak memory against `axis`, batch or input_size; a line for each model and engine."""
    good = [row for row in rows if report.is_measured(row)]
    values = sorted({int(row[axis]) for row in good})
    lines = {}
    for row in good:
        key = (row["model"], row["threads"], row["engine"])
        lines.setdefault(key, []).append(
            (int(row[axis]), float(row["minimum_ms"]), float(row["peak_mb"])))
    models = list(dict.fromkeys((key[0], key[1]) for key in lines))
    panels = []
    for position, (index, title) in enumerate(((1, "milliseconds a run"), (2, "MB at the peak"))):
        found = [point[index] for points in lines.values() for point in points]
        panel = Panel(70 + 470 * position, 90, 380, 300, (values[0], values[-1]),
                      (min(found) / 1.2, max(found) * 1.2), x_log=True, y_log=True)
        panel.frame(title, [(value, value) for value in values], round_ticks(min(found) / 1.2, max(found) * 1.2, (1, 2, 5)))
        for (model, threads, name), points in lines.items():
            dashed = models.index((model, threads)) % 2 == 1
            places = [(point[0], point[index]) for point in sorted(points)]
            panel.path(places, COLORS.get(name, "#777"), dashed)
            for x, y in places:
                panel.dot(x, y, COLORS.get(name, "#777"), True, f"{name}, {report.short(model)}, {x}: {y:g}")
        panels.append(panel)
    legend = [(f"{report.short(model)} {name}, {threads} thread{'' if threads == '1' else 's'}",
               COLORS.get(name, "#777"), models.index((model, threads)) % 2 == 1)
              for model, threads, name in lines]
    label = "batch" if axis == "batch" else "input side in pixels"
    return picture(1010, 460 + 18 * (len(legend) // 4), f"Cost against the {label}",
                   f"minima of interleaved rounds, {rows[0]['cpu']}; both axes are logarithmic", panels, legend)


def charts(rows, tolerance):
    """The pictures that suit the rows: ending of the file → SVG."""
    result = {}
    models = {row["model"] for row in rows}
    for axis in ("batch", "input_size"):
        if len({row[axis] for row in rows}) >= 4 and len(models) <= 4:
            result[f"-{axis.replace('_', '-')}.svg"] = growth(rows, axis, tolerance)
    if not result:
        result[".svg"] = comparison(rows, tolerance)
    return {ending: text for ending, text in result.items() if text}
