"""Writes docs/faults.md anew: python -m tests.faults"""

from tests.faults.table import PAGE, page, rows

if __name__ == "__main__":
    found = rows()
    PAGE.write_text(page(found), encoding="utf-8")
    print(f"{PAGE.name}: {len(found)} rows")
