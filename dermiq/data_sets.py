"""The data sets that are known by name: a record each, which form, command line, cards and README read.

    python -m dermiq.data_sets     # the README's table

A data set lies in a folder of its name in the data folder (`DERMIQ_DATA`): `metadata.csv` with a row an image, and the
files that its columns `image` and `mask` name. To add one, add a record to `DATA_SETS`. Reads nothing itself:
`train.cases.data` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """One data set, and how its `metadata.csv` says what `train.cases.data.read_table` gives."""

    name: str  # its folder, and what `--data` takes
    title: str
    kind: str  # of images: "dermoscopy"
    licence: str
    source: str  # address of the original
    split: str  # what never lies in two of train, val and test: "lesion"
    columns: Mapping[str, str] = field(default_factory=dict)  # ours -> theirs, where they differ
    labels: Mapping[str, str] = field(default_factory=dict)  # theirs -> one of CLASSES, where they differ
    left_out: Mapping[str, str] = field(default_factory=dict)  # labels that are none of CLASSES -> what they mean
    is_default: bool = False  # learned from where nothing else is named

    @property
    def described(self) -> str:
        return f"{self.title} ({self.kind})"

    @property
    def licensed(self) -> str:
        return f"{self.title} ({self.licence})"

    @property
    def is_commercial(self) -> bool:
        """Whether what was learned from it may be sold."""
        return "-NC" not in self.licence

    @property
    def metrics(self) -> str:
        """The file beside shipped weights with what was measured on its part `test`."""
        return f"metrics_{self.name}_test.json"

    def table(self, data: Path) -> Path:
        return data / self.name / "metadata.csv"


DATA_SETS: Mapping[str, DataSet] = {
    one.name: one
    for one in (
        DataSet(
            "ham10000",
            title="HAM10000",
            kind="dermoscopy",
            licence="CC BY-NC 4.0",
            source="https://doi.org/10.7910/DVN/DBW86T",
            split="lesion",
            columns={"group": "lesion_id", "site": "localization"},
            is_default=True,
        ),
        DataSet(
            "pad_ufes_20",
            title="PAD-UFES-20",
            kind="clinical photographs",
            licence="CC BY 4.0",
            source="https://doi.org/10.17632/zr7vgbcyr2.1",
            split="patient",
            columns={
                "label": "label7",
                "group": "patient_id",
                "sex": "gender",
                "site": "region",
                "skin_type": "fitspatrick",
            },
            left_out={"scc": "squamous cell carcinoma"},
            is_default=True,
        ),
        DataSet(
            "isic2018_attributes",
            title="ISIC 2018",
            kind="dermoscopy with drawn structures",
            licence="CC BY-NC 4.0",
            source="https://challenge.isic-archive.com/landing/2018/46",
            split="image",
            columns={"group": "image_id"},
        ),
    )
}
NAMED = ", ".join(DATA_SETS)
DEFAULT = tuple(one.name for one in DATA_SETS.values() if one.is_default)


def markdown() -> str:
    """The README's table."""
    rows = [
        f"| `{one.name}/` | [{one.title}]({one.source}) | {one.kind} | {one.split} | {one.licence} |"
        for one in DATA_SETS.values()
    ]
    return "\n".join(["| folder | original | images | split by | licence |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(markdown())
