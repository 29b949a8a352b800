"""Bytes from a visitor become a `Lesion`: upright 8-bit sRGB pixels and nothing else.

Knows no outline, no model and no page. Nothing is written to disk and nothing of a
file's content is logged. Every file that cannot be used raises `ImageError` with one
sentence that says what to do.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageCms, ImageOps

from dermiq.decoder.formats import ACCEPTED, FORMATS
from dermiq.errors import ImageError
from dermiq.lesion.quality import assess_quality
from dermiq.types import Lesion, View

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000
MIN_SIDE = 48  # px
MAX_SIDE = 2048  # px, larger images are scaled down to it after decoding
MAX_ASPECT = 8  # longest side by shortest side

EIGHT_BIT_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


def read_lesion(
    data: bytes,
    *,
    view: View = "unknown",
    taken: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Lesion:
    """Decode one file. Metadata, colour profile, alpha and orientation are gone afterwards."""
    _refuse_by_first_bytes(data, max_bytes)
    _refuse_size(_webp_size(data), max_pixels)  # Pillow allocates a WebP's canvas on opening
    image = _open(data, max_pixels)
    with image:
        _refuse_size(image.size, max_pixels)
        _refuse_frames(image)
        image = _to_srgb(_upright(image))
    pixels = np.asarray(image, dtype=np.uint8).copy()
    return Lesion(pixels=pixels, view=view, taken=taken, quality=assess_quality(pixels))


# --- before decoding --------------------------------------------------------------------


def _refuse_by_first_bytes(data: bytes, max_bytes: int) -> None:
    if not data:
        raise ImageError("The file is empty: choose the photograph again.")
    if len(data) > max_bytes:
        raise ImageError(
            f"The file has {_megabytes(len(data))}, more than the {_megabytes(max_bytes)} that are accepted: "
            "save it smaller."
        )
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"%pdf"):
        raise ImageError(f"This is a PDF document: save the photograph itself as {ACCEPTED}.")
    if head.startswith(b"<"):
        raise ImageError(f"This is an SVG, HTML or XML file, not a photograph: use {ACCEPTED}.")
    if head.startswith(b"gif8"):
        raise ImageError(f"GIF files have too few colours and may be animated: use {ACCEPTED}.")
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        raise ImageError(f"AVIF files cannot be read: use {ACCEPTED}.")
    if data[128:132] == b"DICM":
        raise ImageError(f"DICOM files cannot be read: export the photograph as {ACCEPTED}.")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from a WebP header; (0, 0) for every other file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return 0, 0
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header only. Pillow tries no decoder outside `FORMATS`."""
    _register_heif()
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_many_pixels(max_pixels), detail=repr(error)) from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise ImageError(
            f"This is not an image that can be read, or it is damaged: use {ACCEPTED}.", detail=repr(error)
        ) from error


@cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def _refuse_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(_too_many_pixels(max_pixels, size))
    if (width, height) == (0, 0):
        return
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The image is {width} x {height} pixels, too small to read: use one with at least {MIN_SIDE} "
            "pixels on each side."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"The image is a strip of {width} x {height} pixels: crop it around the lesion.")


def _refuse_frames(image: Image.Image) -> None:
    if image.format == "MPO":  # a JPEG with a preview or depth picture behind it: the first is the photograph
        return
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise _damaged(error) from error
    if frames > 1:
        kind = "pages" if image.format == "TIFF" else "frames"
        raise ImageError(f"The file holds {frames} {kind}: save the one that shows the lesion as a single image.")


# --- decoding ---------------------------------------------------------------------------


def _upright(image: Image.Image) -> Image.Image:
    """Decode in full, turn as the camera noted, and bring the longest side down to `MAX_SIDE`."""
    mode = image.mode
    if mode not in (*EIGHT_BIT_MODES, *SIXTEEN_BIT_MODES, "CMYK"):
        raise ImageError(f"The image's pixel format ({mode}) cannot be read: save it as an ordinary 8-bit JPEG or PNG.")
    if mode == "CMYK" and not image.info.get("icc_profile"):
        raise ImageError(
            "The image is in print colours (CMYK) without a colour profile: save it as RGB, since its colours are "
            "a guess otherwise."
        )
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if mode in SIXTEEN_BIT_MODES:
            upright = _from_sixteen_bits(upright)
        elif mode not in ("CMYK", "L"):
            upright = _flatten(upright)
        if max(upright.size) > MAX_SIDE:
            upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        return upright
    except Exception as error:
        raise _damaged(error) from error


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits of grey to eight, over the whole range of the format."""
    values = np.asarray(image).astype(np.float32) / 257.0
    grey = Image.fromarray(np.rint(values).astype(np.uint8))
    grey.info = dict(image.info)
    return grey


def _flatten(image: Image.Image) -> Image.Image:
    """RGB on white where the image was transparent."""
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
    else:
        flat = image.convert("RGB")
    flat.info = {"icc_profile": profile} if profile and image.mode not in ("LA", "PA") else {}
    return flat


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            if image.mode == "CMYK":
                raise ImageError(
                    "The image is in print colours (CMYK) with a damaged colour profile: save it as RGB.",
                    detail=repr(error),
                ) from error
    return image.convert("RGB")  # no profile, or a damaged one: sRGB, as browsers assume


# --- words ------------------------------------------------------------------------------


def _damaged(error: Exception) -> ImageError:
    return ImageError("The image is damaged or incomplete: upload it again or export it anew.", detail=repr(error))


def _too_many_pixels(max_pixels: int, size: tuple[int, int] | None = None) -> str:
    has = f"The image has {size[0]} x {size[1]} pixels" if size else "The image has too many pixels"
    return f"{has}, more than the {max_pixels / 1e6:.3g} million that are accepted: save it smaller."


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.3g} MB"
