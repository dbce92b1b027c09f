"""Rows of measurements in a JSON file, written as they come: a run that was cut short goes on where it was."""
import datetime
import importlib.metadata
import json
import os
import pathlib
import re
import sys

KEYS = ("model", "part", "texts", "precision", "batch", "threads")  # what names a row


def machine():
    name = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{name[1] if name else os.uname().machine}, {os.cpu_count()} cores"


class Results:
    """Of one run, in `file`, or nowhere when that is None; `packages` are Python's, beside which Ocelli was measured."""

    def __init__(self, file, *packages):
        self.file = pathlib.Path(file) if file else None
        self.rows = json.loads(self.file.read_text()) if file and self.file.exists() else []
        self.about = {"machine": machine(), "beside": ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)}
        for row in self.rows:
            if row["machine"] != self.about["machine"]:
                sys.exit(f"{file} was measured on another machine ({row['machine']}): take another file")

    def row(self, key, measure):
        """The row that `key` names; where there is none, what measure() gives, written down at once."""
        for row in self.rows:
            if all(row.get(name) == key.get(name) for name in KEYS):
                return row
        self.rows.append(key | measure() | self.about | {"date": datetime.date.today().isoformat()})
        if self.file:
            unfinished = self.file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(self.rows, indent=1))
            unfinished.replace(self.file)
        return self.rows[-1]
