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
from dermiq.language import N_, _
from dermiq.language import said as in_our_language
from dermiq.ui.markup import download, error_line, fill, link
from dermiq.ui.training.words import gigabytes
from dermiq.writing import writing
from train import export as exporting
from train.runs.registry import Run

FOLDER = ".exports"  # below the runs' folder
KINDS = {"adapter": N_("adapter"), "merged": N_("whole model")}


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
    return replace(exported, said=N_("It is on the hub, as a private model:"), refused="", address=address)


def html(exported: Exported) -> Markup:
    if exported.folder is None or exported.archive is None:
        return exported.download
    return fill(
        '<section class="dq-watch dq-exported" data-fields="push" data-enter aria-label="{label}">'
        "<h3>{title}</h3>"
        '<p><a href="gradio_api/file={file}" download>{get}</a> ({size}). {lies} '
        "<code>{folder}</code>.</p>"
        '<details data-key="push"><summary>{hub}</summary>'
        '<p class="dq-fine">{once}</p>'
        '<p><label>{name} <input class="dq-field" name="hub" placeholder="owner/name" maxlength="200"></label> '
        '<label>{token} <input class="dq-field" type="password" name="token" autocomplete="off" '
        'maxlength="200"></label> '
        '<button type="button" class="dq-button" data-event="push">{send}</button></p></details>'
        '<p role="status">{said} {address}</p>{refused}</section>',
        label=_("Exported"),
        title=_("{run}: {kind} exported").format(run=exported.run, kind=_(exported.kind)),
        get=_("Download"),
        lies=_("It also lies in"),
        hub=_("Send it to the Hugging Face hub"),
        once=_("Only on request, as a private model. The token is used once and not kept."),
        name=_("Name"),
        token=_("Token"),
        send=_("Send"),
        file=quote(str(exported.archive)),
        size=_("{size}, zipped").format(size=gigabytes(exported.archive.stat().st_size)),
        folder=exported.folder,
        said=in_our_language(exported.said),
        address=link(exported.address, exported.address) if exported.address else "",
        refused=error_line(in_our_language(exported.refused)) if exported.refused else "",
    )
