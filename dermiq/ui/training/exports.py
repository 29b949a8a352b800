"""What leaves a run through the page: a model card, an adapter, a whole model; to the hub with the visitor's own token.

A zipped model is served from a folder whose name nobody can guess. A token is used for one upload and kept nowhere.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from dermiq.errors import DermIQError
from dermiq.ui.markup import download, error_line, fill, link
from dermiq.ui.training.words import gigabytes
from dermiq.writing import writing
from train import export as exporting
from train.runs.registry import Run

FOLDER = ".exports"  # below the runs' folder
KINDS = {"adapter": "adapter", "merged": "whole model"}


@dataclass(frozen=True)
class Exported:
    """What was exported last; `folder` is None for what was only downloaded."""

    run: str
    download: Markup = field(default_factory=Markup)
    folder: Path | None = None
    archive: Path | None = None
    kind: str = ""
    said: str = ""
    refused: str = ""
    address: str = ""


def export(run: Run, kind: str, root: Path, *, weights: str) -> Exported:
    """Of "card", "adapter" and "merged". Raises DermIQError."""
    if kind == "card":
        text = exporting.card(run, form="merged", weights=weights, name=run.name)
        return Exported(run.name, download=download(f"{run.name}.md", "text/markdown", text.encode()))
    place = root / FOLDER / secrets.token_urlsafe(16)
    try:
        folder = exporting.export(run, place / f"{run.name}-{kind}", form=kind, weights=weights)
        with writing(place):
            archive = Path(shutil.make_archive(str(folder), "zip", root_dir=place, base_dir=folder.name))
    except DermIQError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Exported(run.name, folder=folder, archive=archive, kind=KINDS[kind])


def push(exported: Exported, name: str, token: str) -> Exported:
    """To the hub, as a private model."""
    assert exported.folder is not None
    try:
        address = exporting.push(exported.folder, name.strip(), token=token.strip() or None)
    except DermIQError as error:
        return replace(exported, said="", refused=str(error))
    return replace(exported, said="It is on the hub, as a private model:", refused="", address=address)


def html(exported: Exported) -> Markup:
    if exported.folder is None or exported.archive is None:
        return exported.download
    return fill(
        '<section class="dq-watch dq-exported" data-fields="push" data-enter aria-label="Exported">'
        "<h3>{run}: {kind} exported</h3>"
        '<p><a href="gradio_api/file={file}" download>Download</a> ({size}, zipped). It also lies in '
        "<code>{folder}</code>.</p>"
        '<details data-key="push"><summary>Send it to the Hugging Face hub</summary>'
        '<p class="dq-fine">Only on request, as a private model. The token is used once and not kept.</p>'
        '<p><label>Name <input class="dq-field" name="hub" placeholder="owner/name" maxlength="200"></label> '
        '<label>Token <input class="dq-field" type="password" name="token" autocomplete="off" maxlength="200"></label> '
        '<button type="button" class="dq-button" data-event="push">Send</button></p></details>'
        '<p role="status">{said} {address}</p>{refused}</section>',
        run=exported.run,
        kind=exported.kind,
        file=quote(str(exported.archive)),
        size=gigabytes(exported.archive.stat().st_size),
        folder=exported.folder,
        said=exported.said,
        address=link(exported.address, exported.address) if exported.address else "",
        refused=error_line(exported.refused) if exported.refused else "",
    )
