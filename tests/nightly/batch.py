"""`dermiq batch` on many real images, killed by SIGKILL and gone on with, against an unbroken run and one by one.

    python -m tests.nightly.batch [--images 1000] [--kills 3] [--alone 20] [--work FOLDER]
    [--out tests/nightly/batch.txt]

Takes images of HAM10000 at 256 px, evenly from all, under numbers for names. Exits with 1 where the two tables differ
in a byte, or an image by itself has another figure than its row. What is done lies in `--work`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import psutil

from dermiq.places import ROOT, data_folder
from dermiq.types import CLASSES

IMAGES = "ham10000_square256/images"
LOOK_S = 0.2


def photographs(folder: Path, count: int) -> None:
    """Copies, called 0001.jpg and so on."""
    files = sorted((data_folder() / IMAGES).iterdir())
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files[:: len(files) // count][:count], 1):
        shutil.copy(file, folder / f"{number:04}.jpg")


def rows_in(table: Path) -> int:
    return max(0, table.read_bytes().count(b"\n") - 1) if table.exists() else 0


def computed(process: psutil.Process) -> float:
    """Seconds of a core, with its decoders'."""
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def run(folder: Path, table: Path, *, until: int) -> float:
    """One start of the command, killed where the table has `until` rows; its seconds of a core."""
    command = [sys.executable, "-m", "dermiq", "batch", str(folder), "--out", str(table)]
    process, used = subprocess.Popen(command, cwd=ROOT), 0.0
    seen = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            used = max(used, computed(seen))
        except psutil.NoSuchProcess:
            break
        if rows_in(table) >= until:
            process.send_signal(signal.SIGKILL)
        time.sleep(LOOK_S)
    process.wait()
    return used


def killed(folder: Path, table: Path, *, images: int, kills: int) -> tuple[int, float]:
    """To its end, with that many kills on the way: how many there were, and seconds of a core."""
    used, done = 0.0, 0
    for part in range(1, kills + 1):
        if rows_in(table) < images * part // (kills + 1):
            used += run(folder, table, until=images * part // (kills + 1))
            done += 1
    return done, used + run(folder, table, until=images + 1)


def differs(folder: Path, row: dict[str, str]) -> bool:
    """Whether the image by itself, in a process of its own, has other figures than its row."""
    command = [sys.executable, "-m", "dermiq", "assess", str(folder / row["file"]), "--reader", "specialist", "--json"]
    said = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    figures = {code: float(row[f"p_{code}"]) for code in CLASSES}
    sets = {certainty: row[f"set_{certainty}"].split() for certainty in said["sets"]}
    urgency = said["urgency"]["level"] if said["urgency"] else ""
    return (figures, sets, urgency) != (said["probabilities"], said["sets"], row["urgency"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--alone", type=int, default=20)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    work = options.work or Path(tempfile.mkdtemp(prefix="dermiq-batch-"))
    folder, broken, whole = work / "images", work / "killed.csv", work / "unbroken.csv"
    photographs(folder, options.images)
    kills, used = killed(folder, broken, images=options.images, kills=options.kills)
    unbroken = run(folder, whole, until=options.images + 1)
    with whole.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    alone = rows[:: max(1, len(rows) // options.alone)][: options.alone]
    other = sum(differs(folder, row) for row in alone)
    same = broken.read_bytes() == whole.read_bytes()
    unread = sum(bool(row["error"]) for row in rows)
    text = (
        f"# python -m tests.nightly.batch --images {options.images} --kills {kills} --alone {len(alone)}"
        f"      ({psutil.cpu_count()} cores, {datetime.now(timezone.utc):%Y-%m-%d})\n"
        f"{len(rows)} images of HAM10000 at 256 px, of which {unread} could not be read\n"
        f"  {unbroken / len(rows):.2f} seconds of a core an image, unbroken, its start included\n"
        f"  {used / len(rows):.2f} with {kills} kills and starts\n"
        f"  the two tables: {'byte for byte the same' if same else 'NOT the same'}\n"
        f"  one by one, in processes of their own: {len(alone) - other} of {len(alone)} with the same figures\n"
        f"  weights {rows[0]['weights']}; {rows[0]['options']}\n"
    )
    print(text, end="")
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return int(not same or bool(other) or len(rows) != options.images)


if __name__ == "__main__":
    sys.exit(main())
