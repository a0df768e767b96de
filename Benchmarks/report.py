"""The tables of a comparison, from the rows of its CSV file alone."""

import math

from engines import AS_IT_COMES, IN_BYTES, IN_HALVES
from results import cell_of

OURS = "hgnet"
MEASURES = {"minima": "minimum_ms", "medians": "median_ms"}


def is_measured(row):
    return row["status"] == "ok" and bool(row["minimum_ms"])


def is_accurate(row, tolerance):
    return is_measured(row) and float(row["difference"]) <= tolerance


def short(model):
    return model.removeprefix("PPHGNetV2_")


def by_cell(rows):
    """Cell → engine → row, in the order of the file."""
    result = {}
    for row in rows:
        result.setdefault(cell_of(row), {})[row["engine"]] = row
    return result


def cell_table(rows, tolerance):
    """One cell for the terminal: a line per engine."""
    lines = [f"  {'':<18}{'min ms':>10}{'median':>10}{'÷ hgnet':>9}{'by round':>10}{'load ms':>10}{'1st run':>10}"
             f"{'peak MB':>9}{'imports':>9}{'differs':>10}"]
    for row in rows:
        if not is_measured(row):
            lines.append(f"  {row['engine']:<18}{row['status']}")
            continue
        mark = "" if is_accurate(row, tolerance) else "  not accurate"
        lines.append(
            f"  {row['engine']:<18}{float(row['minimum_ms']):>10.2f}{float(row['median_ms']):>10.2f}"
            f"{row['ratio_minima']:>9}{row['ratio_by_round']:>10}{row['load_ms']:>10}"
            f"{row['first_run_ms']:>10}{row['peak_mb']:>9}{row['imports_mb']:>9}{row['difference']:>10}{mark}")
    return "\n".join(lines)


def is_ours(name):
    """Whether an engine is hgnet, at whichever precision."""
    return name.split("-")[0] == OURS


def fastest(engines, measure, usable):
    """The quickest peer of a cell and its time ÷ ours; None where there is nothing to compare."""
    ours = engines.get(OURS)
    able = [row for name, row in engines.items() if not is_ours(name) and usable(row)]
    if not able or not ours or not is_measured(ours):
        return None
    best = min(able, key=lambda row: float(row[measure]))
    return best["engine"], float(best[measure]) / float(ours[measure])


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def cell_name(cell):
    model, batch, side, threads = cell
    return f"{short(model)}, {threads} thread{'' if threads == '1' else 's'}, batch {batch}" + (
        "" if side == "224" else f", {side}x{side}")


def by_model(cells, usable):
    """A table of the fastest usable peer ÷ hgnet, of the minima: a row for each model."""
    columns = sorted({cell[1:] for cell in cells}, key=lambda key: tuple(map(int, (key[2], key[0], key[1]))))
    body = []
    for model in dict.fromkeys(cell[0] for cell in cells):
        line = [short(model)]
        for column in columns:
            found = fastest(cells.get((model, *column), {}), "minimum_ms", usable)
            line.append(f"{found[1]:.2f} {found[0]}" if found else "–")
        body.append(line)
    heading = ["model"] + [f"threads {threads}, batch {batch}" + ("" if side == "224" else f", side {side}")
                           for batch, side, threads in columns]
    return table(heading, body)


def ratio_tables(cells, tolerance):
    """The fastest accurate peer ÷ hgnet for each cell; means and worst cells of all four ways to count."""
    means = []
    for label, usable in (("fastest accurate peer", lambda row: is_accurate(row, tolerance)),
                          ("fastest of all, int8 left out",
                           lambda row: is_measured(row) and not row["engine"].endswith(IN_BYTES))):
        for name, measure in MEASURES.items():
            found = {cell: fastest(engines, measure, usable) for cell, engines in cells.items()}
            found = {cell: each for cell, each in found.items() if each}
            if found:
                worst = min(found, key=lambda cell: found[cell][1])
                means.append([f"{label}, {name}", f"{geometric_mean([each[1] for each in found.values()]):.3f}",
                              f"{found[worst][1]:.3f} ({cell_name(worst)}: {found[worst][0]})", len(found)])
    return [("Fastest accurate peer ÷ hgnet, of the minima", by_model(cells, lambda row: is_accurate(row, tolerance))),
            ("All cells", table(["", "geometric mean", "worst cell", "cells"], means))]


def as_it_comes_table(rows, cells):
    """Peers that choose their precision by themselves, accurate or not; None where there are none."""
    own = [row for row in rows if row["engine"].endswith(AS_IT_COMES) and is_measured(row)]
    if not own:
        return None
    precisions = ", ".join(sorted({row["precision"] for row in own if row.get("precision")}))
    worst = max(float(row["difference"]) for row in own)
    return ("Fastest peer as it comes ÷ hgnet in float32, of the minima",
            by_model(cells, lambda row: row["engine"].endswith(AS_IT_COMES) and is_measured(row))
            + f"\n\nThese compute in {precisions or 'f32'}; their logits differ by up to {worst:.1e} of the largest.")


def precision_table(rows, cells, precision, title, usable):
    """Peers beside hgnet at a lower precision; None where it was not measured."""
    lower = f"{OURS}-{precision}"
    own = {cell: {OURS: engines[lower], **{name: row for name, row in engines.items() if name != OURS}}
           for cell, engines in cells.items() if lower in engines and is_measured(engines[lower])}
    if not own:
        return None
    worst = max(float(engines[OURS]["difference"]) for engines in own.values())
    return (f"{title} ÷ hgnet in {precision}, of the minima",
            by_model(own, lambda row: usable(row["engine"]) and is_measured(row))
            + f"\n\nhgnet's logits in {precision} differ by up to {worst:.1e} of the largest.")


def engine_table(rows, cells, tolerance):
    """Each engine over all cells."""
    body = []
    for name in dict.fromkeys(row["engine"] for row in rows):
        own = [row for row in rows if row["engine"] == name]
        good = [row for row in own if is_measured(row)]
        ratios = {}
        for label, measure in MEASURES.items():
            values = [float(row[measure]) / float(cells[cell_of(row)][OURS][measure]) for row in good
                      if is_measured(cells[cell_of(row)].get(OURS, {"status": ""}))]
            ratios[label] = f"{geometric_mean(values):.2f}" if values else "–"
        failures = sorted({row["status"] for row in own if row["status"] != "ok"})
        differences = [float(row["difference"]) for row in own if row["difference"]]
        worst = max(differences, default=None)
        body.append([name, own[0]["version"], ratios["minima"], ratios["medians"],
                     "–" if worst is None else f"{worst:.1e}" + ("" if worst <= tolerance else " **not accurate**"),
                     f"{len(good)} of {len(own)}" + "".join(f"; {reason}" for reason in failures)])
    return ("Engines: time ÷ hgnet, geometric mean",
            table(["engine", "version", "minima", "medians", "logits differ by", "cells measured"], body))


def start_table(cells, tolerance):
    """Load time and memory with the smallest batch and fewest threads of each model."""
    body = []
    for model in dict.fromkeys(cell[0] for cell in cells):
        cell = min((each for each in cells if each[0] == model), key=lambda each: tuple(map(int, each[1:])))
        good = {name: row for name, row in cells[cell].items() if is_measured(row)}
        if OURS not in good:
            continue
        ours, others = good.pop(OURS), [row for name, row in good.items() if not is_ours(name)]
        line = [cell_name(cell)]
        for value in (lambda row: float(row["load_ms"]),
                      lambda row: float(row["load_ms"]) + float(row["first_run_ms"]),
                      lambda row: float(row["peak_mb"])):
            best = min(others, key=value, default=None)
            line += [f"{value(ours):.0f}", f"{value(best):.0f} {best['engine']}" if best else "–"]
        body.append(line)
    return ("Start and memory: hgnet and the best peer", table(
        ["", "load ms", "peer", "load and first run ms", "peer", "peak MB", "peer"], body))


def thread_table(cells, tolerance):
    """How much the most threads gain over one, by the minima; None where only one number was measured."""
    counts = sorted({int(cell[3]) for cell in cells})
    if len(counts) < 2 or counts[0] != 1:
        return None
    most, body = str(counts[-1]), []
    for cell in cells:
        many = (*cell[:3], most)
        if cell[3] != "1" or many not in cells:
            continue
        gains = {name: float(row["minimum_ms"]) / float(cells[many][name]["minimum_ms"])
                 for name, row in cells[cell].items()
                 if is_measured(row) and is_measured(cells[many].get(name, {"status": ""}))}
        if OURS in gains:
            ours = gains.pop(OURS)
            gains = {name: gain for name, gain in gains.items() if not is_ours(name)}
            best = max(gains, key=gains.get, default=None)
            body.append([f"{short(cell[0])}, batch {cell[1]}", f"{ours:.2f}",
                         f"{gains[best]:.2f} {best}" if best else "–"])
    return (f"1 thread ÷ {most} threads", table(["", "hgnet", "best peer"], body))


def summary(rows, tolerance):
    """All tables as Markdown."""
    cells = by_cell(rows)
    parts = [*ratio_tables(cells, tolerance), as_it_comes_table(rows, cells),
             precision_table(rows, cells, "bfloat16", "Fastest peer in bfloat16 or as it comes",
                             lambda name: name.endswith((AS_IT_COMES, IN_HALVES))),
             precision_table(rows, cells, "int8", "Fastest peer in int8", lambda name: name.endswith(IN_BYTES)),
             engine_table(rows, cells, tolerance), start_table(cells, tolerance),
             thread_table(cells, tolerance)]
    return "\n\n".join(f"### {title}\n\n{body}" for title, body in filter(None, parts)) + "\n"


def document(text, notes):
    lines = "\n".join(f"- {note.lstrip('# ')}" for note in notes)
    return (f"## hgnet beside other engines\n\n{lines}\n\nA ratio above 1 means that hgnet is faster.\n\n{text}")
