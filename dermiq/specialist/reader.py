"""The specialist reads a lesion: probabilities, outline, findings, structures, distance from the training data, maps.

Three looks: the whole frame (outline and a first opinion), then a square window around the outline, nearer to the
lesion whatever camera the visitor has, by a convolutional network and by a vision transformer, which also says which
dermoscopic structures are there. Each look has a network of its own, so that their errors differ; all are averaged over
mirrored copies. Knows neither the graph nor the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from dermiq import places
from dermiq.errors import ModelError
from dermiq.lesion import assess_quality, default_reference, measure_findings
from dermiq.lesion.frame import main_region
from dermiq.shipped import checked, digest_of, read_json
from dermiq.specialist import structures
from dermiq.specialist.conformal import Sets
from dermiq.specialist.familiarity import Familiarity
from dermiq.specialist.model import SpecialistNet
from dermiq.specialist.similar import Similar
from dermiq.specialist.told import Told
from dermiq.specialist.vit import PATCH, StructureHeads, ViTNet, normalised
from dermiq.types import CLASSES, STRUCTURES, Abstention, Finding, Lesion, SpecialistReading
from dermiq.vlm.tower import FLIPS, PIXEL_MEAN, PIXEL_STD, DermTowerConfig

WEIGHTS = places.WEIGHTS / "specialist"
NEAR = "near."  # before the names of the second look's tensors, which lack an outline decoder
TRANSFORMER = ("transformer_1.safetensors", "transformer_2.safetensors")  # in two, since hosts refuse large files
HEADS = "structures."  # before the names of the structure heads' tensors
PARTS = (
    *("model.safetensors", *TRANSFORMER, "calibration.json", "similar.npz", "told.json", "sets.json"),
    *("findings_reference.json", "structures_reference.json"),
)
"""Files that change what is read of an image."""
STRUCTURE_SIZE = 280  # px of the window in which structures are looked for: 20 x 20 places
MIN_OUTLINE_SHARE = 0.003  # of the frame; below it there is no lesion to measure


@dataclass(frozen=True)
class Calibration:
    """Chosen on `val` by `train.embedded.calibrate`; see its docstring for the method of each."""

    image_size: int = 160  # px
    window: float = 1.5  # side of the second look, in lesion extents
    smallest_window: float = 0.75  # ... but at least this share of the frame's short side (dermoscopy-sized frames)
    look_weights: tuple[float, ...] = (0.5, 0.5, 0.0)  # of the logits of frame, window, and window by the transformer
    transformer_size: int = 140  # px
    structure_scales: tuple[float, ...] = (1.0,) * len(STRUCTURES)  # of the structures' logits (Platt 1999) ...
    structure_shifts: tuple[float, ...] = (0.0,) * len(STRUCTURES)  # ... and what is added to them
    offsets: tuple[float, ...] = (0.0,) * len(CLASSES)  # added to the logits: what rare classes are given
    temperature: float = 1.0
    distance_limit: float = 99.5  # percentile among validation images beyond which no opinion is given
    version: str = "0.2"


def lesion_window(
    pixels: np.ndarray, outline: np.ndarray, *, extents: float = 1.5, smallest: float = 0.75
) -> np.ndarray:
    """A square cut from the frame, centred on the outline, `extents` times the lesion's longer side.

    Small frames (a dermatoscope's own field) are cut to no less than `smallest` of their short side, larger
    ones as near as the lesion asks, so that a lesion in a wide photograph is seen at the size that the
    training images show. Without an outline: the central square.
    """
    top, left, bottom, right = window_box(outline, extents=extents, smallest=smallest)
    return pixels[top:bottom, left:right]


def window_box(outline: np.ndarray, *, extents: float, smallest: float) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of that square, in pixels."""
    height, width = outline.shape
    short = min(height, width)
    rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    if len(rows) == 0:
        centre_y, centre_x, side = height / 2, width / 2, float(short)
    else:
        centre_y, centre_x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
        longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        floor = smallest * short if longest * 4 > short else longest * extents  # a far lesion: go near
        side = float(np.clip(longest * extents, min(floor, short), short))
    top = round(float(np.clip(centre_y - side / 2, 0, height - side)))
    left = round(float(np.clip(centre_x - side / 2, 0, width - side)))
    return top, left, top + round(side), left + round(side)


def squash(pixels: np.ndarray, size: int) -> Tensor:
    """(H, W, 3) uint8 -> (3, S, S) as the tower wants it."""
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)  # antialiased when it shrinks
    values = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)
    return (values - PIXEL_MEAN) / PIXEL_STD


def transformer_views(window: np.ndarray, size: int) -> Tensor:
    """A window (H, W, 3) uint8 and its mirror image, as the transformer wants them: (2, 3, S, S)."""
    image = Image.fromarray(window).resize((size, size), Image.Resampling.BICUBIC)
    values = normalised(torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None])
    return torch.cat([values, values.flip(3)])


@dataclass(frozen=True, eq=False)
class Look:
    """What the networks make of one image, before any calibration."""

    logits: Tensor  # (3, 7): frame, window, window by the transformer
    structures: Tensor  # (5,)
    outline: np.ndarray  # (H, W) bool
    confidence: float  # mean foreground probability inside the outline
    features: Tensor  # (1280,) of the frame: by them its distance is told
    impression: Tensor  # (768,) of the window by the transformer: by it similar cases are found


def mirrored(image: Tensor) -> Tensor:
    """(3, S, S) -> its four mirrored copies (4, 3, S, S), in the order of FLIPS."""
    batch = torch.stack([image.flip([axis - 1 for axis in axes]) for axes in FLIPS])
    return batch.contiguous(memory_format=torch.channels_last)


class Specialist:
    """Thread-safe after loading: it keeps no state between images."""

    def __init__(
        self,
        net: SpecialistNet,
        near_net: SpecialistNet,
        transformer: ViTNet,
        heads: StructureHeads,
        calibration: Calibration,
        familiarity: Familiarity | None,
        revision: str,
        *,
        similar: Similar | None = None,
        told: Told | None = None,
        sets: Sets | None = None,
    ):
        self.calibration = calibration
        self.revision = revision
        self.net = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.near_net = near_net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.transformer, self.heads = transformer.eval(), heads.eval()
        self.familiarity = familiarity
        self.similar = similar
        self.told, self.sets = told or Told(), sets or Sets({})
        self.reference = default_reference()
        self.structures_reference = structures.default_reference()

    @classmethod
    def load(cls, folder: Path = WEIGHTS) -> Specialist:
        """Reads the shipped folder, or another. Raises ModelError where a part is missing, damaged or does not fit."""
        try:
            calibration = Calibration(**read_json(folder / "calibration.json"))
            path = checked(folder / "model.safetensors")
            state = load_file(path)
            near_state = {
                key: value for name in TRANSFORMER for key, value in load_file(checked(folder / name)).items()
            }
            revision = digest_of(folder / name for name in PARTS)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise ModelError(
                "The specialist's weights are incomplete: reinstall DermIQ, or run "
                "`python -m train.embedded.calibrate`.",
                detail=str(error),
            ) from error
        extra = {key: state.pop(key) for key in list(state) if key.startswith("familiarity.")}
        near = {key.removeprefix(NEAR): state.pop(key) for key in list(state) if key.startswith(NEAR)}
        config = DermTowerConfig(image_size=calibration.image_size)
        nets = []
        for weights, unneeded in ((state, ("num_batches_tracked",)), (near, ("num_batches_tracked", "decoder."))):
            net = SpecialistNet(config)
            missing, unknown = net.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
            if unknown or any(not any(part in key for part in unneeded) for key in missing):
                raise ModelError(f"The weights in {folder.name}/model.safetensors are not the specialist's.")
            nets.append(net)
        transformer, heads = ViTNet(), StructureHeads()
        own = {key: near_state.pop(key) for key in list(near_state) if key.startswith(HEADS)}
        try:
            transformer.load_state_dict({key: value.float() for key, value in near_state.items()})
            heads.load_state_dict({key.removeprefix(HEADS): value.float() for key, value in own.items()})
        except RuntimeError as error:
            raise ModelError(
                f"The weights in {folder.name}/{TRANSFORMER[0]} are not the specialist's.", detail=str(error)
            ) from error
        known = Familiarity.from_tensors(extra) if extra else None
        return cls(
            nets[0],
            nets[1],
            transformer,
            heads,
            calibration,
            known,
            revision,
            similar=Similar.load(folder / "similar.npz"),
            told=Told.load(folder / "told.json"),
            sets=Sets.load(folder / "sets.json"),
        )

    @torch.inference_mode()
    def read(self, lesion: Lesion, *, image_index: int = 0) -> SpecialistReading:
        """One image: about a third of a second on two cores."""
        look, calibration = self.look(lesion.pixels), self.calibration
        seen = self.structures_of(look)
        found: tuple[Finding, ...] = ()
        if look.outline.any():
            found = measure_findings(lesion.pixels, look.outline, reference=self.reference)
            if lesion.view in ("dermoscopy", "unknown"):
                found += structures.structure_findings(seen, reference=self.structures_reference)
        return SpecialistReading(
            probabilities=dict(zip(CLASSES, calibrated(look.logits, calibration).tolist(), strict=True)),
            outline=look.outline,
            outline_confidence=look.confidence,
            distance=self.familiarity.percentile(look.features) if self.familiarity else 0.0,
            findings=tuple(replace(finding, image_index=image_index) for finding in found),
            image_index=image_index,
            similar=self.similar.nearest(look.impression) if self.similar and look.outline.any() else (),
        )

    @torch.inference_mode()
    def look(self, pixels: np.ndarray) -> Look:
        """All three looks at one image (H, W, 3) uint8."""
        logits, features, outline, confidence = self.look_at_frame(pixels)
        extents, smallest = self.calibration.window, self.calibration.smallest_window
        near = self.look_at_window(pixels, outline, extents=extents, smallest=smallest)
        window = lesion_window(pixels, outline, extents=extents, smallest=smallest)
        seen = self.transformer(transformer_views(window, self.calibration.transformer_size))
        presence, _ = self._structures(window)
        return Look(
            logits=torch.stack([logits, near, seen.classes.mean(0)]),
            structures=presence,
            outline=outline,
            confidence=confidence,
            features=features,
            impression=seen.features.mean(0),
        )

    def _structures(self, window: np.ndarray) -> tuple[Tensor, Tensor]:
        """Of a window (H, W, 3) uint8: logits of presence (5,) and of places (5, 20, 20)."""
        views = transformer_views(window, STRUCTURE_SIZE)[:1]
        presence, places_of = self.heads(*self.transformer.tokens(views, self.heads.layers))
        side = STRUCTURE_SIZE // PATCH
        return presence[0], places_of[0].T.unflatten(1, (side, side))

    def structures_of(self, look: Look) -> dict[str, float]:
        """Structure -> the calibrated probability that it is there."""
        scales, shifts = (
            torch.tensor(values) for values in (self.calibration.structure_scales, self.calibration.structure_shifts)
        )
        return dict(zip(STRUCTURES, (look.structures * scales + shifts).sigmoid().tolist(), strict=True))

    @torch.inference_mode()
    def structure_maps(self, lesion: Lesion, outline: np.ndarray) -> dict[str, np.ndarray]:
        """Structure -> where it is: (H, W) of the image's own pixels, 0 to 1, in the window around the outline."""
        top, left, bottom, right = window_box(
            outline, extents=self.calibration.window, smallest=self.calibration.smallest_window
        )
        _, places_of = self._structures(lesion.pixels[top:bottom, left:right])
        shape = (bottom - top, right - left)
        fine = F.interpolate(places_of[None].sigmoid(), size=shape, mode="bilinear")[0].numpy()
        found = {}
        for number, code in enumerate(STRUCTURES):
            found[code] = np.zeros(outline.shape, np.float32)
            found[code][top:bottom, left:right] = fine[number]
        return found

    @torch.inference_mode()
    def look_at_frame(self, pixels: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray, float]:
        """The whole frame: logits (7,), features (1280,), outline (H, W) bool and its confidence."""
        logits, outlines, features = self.net(mirrored(squash(pixels, self.calibration.image_size)))
        upright = [outline.flip([axis - 2 for axis in axes]) for outline, axes in zip(outlines, FLIPS, strict=True)]
        chance = torch.stack(upright).mean(0).sigmoid()[None, None]
        height, width = pixels.shape[:2]
        probability = F.interpolate(chance, size=(height, width), mode="bilinear")[0, 0].numpy()
        outline = main_region(probability > 0.5)
        if outline.mean() < MIN_OUTLINE_SHARE:
            outline = np.zeros_like(outline)
        sure = float(probability[outline].mean()) if outline.any() else 0.0
        return logits.mean(0), features.mean(0), outline, sure

    @torch.inference_mode()
    def look_at_window(self, pixels: np.ndarray, outline: np.ndarray, *, extents: float, smallest: float) -> Tensor:
        """The square around the outline: logits (7,)."""
        window = lesion_window(pixels, outline, extents=extents, smallest=smallest)
        logits: Tensor = self.near_net.classify(mirrored(squash(window, self.calibration.image_size))).mean(0)
        return logits

    @torch.inference_mode()
    def heatmap(self, lesion: Lesion, code: str) -> np.ndarray:
        """Where class `code` finds its evidence: the class activation map (Zhou et al. 2016, arXiv 1512.04150).

        The class head is linear over averaged features, so the map is exact up to the head's bias. (H, W), 0 to 1.
        """
        size = 256  # finer than the reading: 8 x 8 cells
        image = squash(lesion.pixels, size)[None].contiguous(memory_format=torch.channels_last)
        cells = self.net.tower.pyramid(image)[-1][0]  # (1280, 8, 8)
        weights = self.net.classifier.weight
        row = CLASSES.index(code)
        others = (weights.sum(0) - weights[row]) / (len(CLASSES) - 1)
        evidence = torch.einsum("chw,c->hw", cells, weights[row] - others).clamp(min=0)
        shape = (lesion.height, lesion.width)
        upsampled = F.interpolate(evidence[None, None], size=shape, mode="bicubic")[0, 0].clamp(min=0).numpy()
        return upsampled / max(float(upsampled.max()), 1e-6)

    def abstention(self, lesion: Lesion, reading: SpecialistReading) -> Abstention | None:
        """Why no opinion should be offered on this image, if so."""
        severe = [issue for issue in assess_quality(lesion.pixels, reading.outline) if issue.severe]
        if not reading.outline.any():
            message = "I see no lesion here. Try a sharp close-up with one lesion in the middle."
            return Abstention("not_a_lesion", message)
        if severe:
            return Abstention(severe[0].code, severe[0].message)
        if reading.distance > self.calibration.distance_limit:
            return Abstention(
                "far",
                "I can't read this image: it is far from anything I was trained on (distance beyond "
                f"{self.calibration.distance_limit:g} % of known images). Try a sharp close-up of one lesion.",
            )
        return None


def calibrated(logits: Tensor, calibration: Calibration) -> Tensor:
    """Logits of the looks (..., 3, 7) -> probabilities (..., 7)."""
    weights, offsets = torch.tensor(calibration.look_weights), torch.tensor(calibration.offsets)
    mixed = torch.einsum("l,...lc->...c", weights, logits)
    return ((mixed + offsets) / calibration.temperature).softmax(-1)


def fuse_readings(readings: Sequence[SpecialistReading]) -> dict[str, float]:
    """One opinion from several images of one lesion: the geometric mean of their probabilities.

    Several photographs of one lesion are far from independent, so their logarithms are averaged, not summed.
    """
    logs = np.mean([[np.log(max(r.probabilities[c], 1e-9)) for c in CLASSES] for r in readings], axis=0)
    weights = np.exp(logs - logs.max())
    return dict(zip(CLASSES, (weights / weights.sum()).tolist(), strict=True))
