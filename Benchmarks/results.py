"""The CSV file of a comparison: written cell by cell, so that an interrupted run loses one cell at most."""

import csv
import pathlib

FIELDS = ["date", "cpu", "cores", "model", "batch", "input_size", "threads", "engine", "version", "status",
          "minimum_ms", "median_ms", "p90_ms", "load_ms", "first_run_ms", "peak_mb", "imports_mb", "difference",
          "iterations", "rounds", "ratio_minima", "ratio_medians", "ratio_by_round", "precision"]
CELL = ("model", "batch", "input_size", "threads")


def read(path):
    """The lines before the table, which begin with #, and the rows."""
    lines = pathlib.Path(path).read_text().splitlines()
    notes = [line for line in lines if line.startswith("#")]
    return notes, list(csv.DictReader(line for line in lines if not line.startswith("#")))


class Results:
    """The rows of a run, and the file that they are appended to; no file where the path is None."""

    def __init__(self, path, notes, resume, version):
        self.path, self.notes, self.rows = path and pathlib.Path(path), notes, []
        if not self.path:
            return
        if resume and self.path.exists():
            _, rows = read(self.path)
            current = {cell_of(row) for row in rows if row["engine"] == "hgnet" and row["version"] == version}
            self.rows = [row for row in rows if cell_of(row) in current]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "w", newline="") as file:
            file.writelines(f"{line}\n" for line in self.notes)
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def add(self, rows):
        """Takes the rows of one cell, as texts, which is what a file gives back."""
        rows = [{field: "" if row.get(field) is None else str(row[field]) for field in FIELDS} for row in rows]
        self.rows += rows
        if self.path:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, FIELDS, lineterminator="\n").writerows(rows)

    def has(self, cell):
        key = (cell.model, str(cell.batch), str(cell.side), str(cell.threads))
        return any(cell_of(row) == key for row in self.rows)


def cell_of(row):
    return tuple(row[field] for field in CELL)
