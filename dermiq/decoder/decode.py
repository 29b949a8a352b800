"""Bytes become an upright sRGB picture of at most `MAX_SIDE`. Runs in a process of its own: see `worker`.

Knows no outline, no model and no page. Nothing is written to disk and nothing of a file's content is logged. Every file
that cannot be used raises `ImageError` with one sentence that says what to do. A picture is held once in full
size and goes through everything else in bands, so that memory stays near 4 bytes a pixel.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pillow_heif
from PIL import Image, ImageCms, ImageOps

from dermiq.decoder import containers, dicom
from dermiq.decoder.containers import Picture
from dermiq.decoder.formats import ACCEPTED, FORMATS, MAX_ASPECT, MAX_PIXELS, MAX_SIDE, MIN_SIDE
from dermiq.errors import ImageError

ORIENTATION = 0x0112  # of EXIF
NAMES = {"HEIF": "HEIC", "WEBP": "WebP"}  # where Pillow's name is not the usual one
MOST_FRAMES = 16  # of a JPEG that are looked at
MAX_SCANS = 200  # of a JPEG; ordinary progressive files have about ten
MAX_COEFFICIENTS = 110_000_000  # of a progressive JPEG, 2 bytes each, which are all held at once
BAND_PIXELS = 400_000  # that are converted at a time
SHARP = 1.2  # box-filtered by a whole number first, as long as the rest is at least this many times too large

EIGHT_BIT_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")

Image.MAX_IMAGE_PIXELS = max(MAX_PIXELS.values())  # Pillow refuses twice as many on opening


@dataclass(frozen=True)
class Source:
    """One opened picture. `band` decodes on its first call and gives rows from one to before another."""

    kind: str  # Pillow's name of the format
    size: tuple[int, int]  # width, height in px, to be decoded
    mode: str
    profile: bytes | None
    band: Callable[[int, int], Image.Image]
    orientation: Callable[[], int]  # of EXIF, known after decoding


@dataclass(frozen=True)
class Decoded:
    """An RGB image without metadata, colour profile, alpha or orientation, and what a DICOM file tells with it."""

    image: Image.Image
    told: Mapping[str, str] = field(default_factory=dict)


def decode(data: bytes) -> Decoded:
    """Raises ImageError, and MemoryError where the process has no more."""
    try:
        source, told = _dicom(data) if dicom.is_dicom(data) else (_file(data), {})
        small, orientation = _reduced(source), source.orientation()
        del source  # the picture in full size, before the next copies are made
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        return Decoded(_to_srgb(_upright(small, orientation)), told)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise _damaged(error) from error


def _file(data: bytes) -> Source:
    _refuse_by_first_bytes(data)
    return _heif(data) if _is_heif(data) else _opened(data)


def _dicom(data: bytes) -> tuple[Source, dict[str, str]]:
    found = dicom.opened(data)
    image = found.picture
    source = _file(image) if isinstance(image, bytes) else _of_pixels(image)
    return replace(source, profile=found.profile or source.profile), found.told


def _of_pixels(image: Image.Image) -> Source:
    _refuse_size("DICOM", image.size)

    def band(top: int, bottom: int) -> Image.Image:
        return image.crop((0, top, image.width, bottom))

    return Source("DICOM", image.size, image.mode, None, band, lambda: 1)


# --- before decoding --------------------------------------------------------------------


def _refuse_by_first_bytes(data: bytes) -> None:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"%pdf"):
        raise ImageError(f"This is a PDF document: save the photograph itself as {ACCEPTED}.")
    if head.startswith(b"<"):
        raise ImageError(f"This is an SVG, HTML or XML file, not a photograph: use {ACCEPTED}.")
    if head.startswith(b"gif8"):
        raise ImageError(f"GIF files have too few colours and may be animated: use {ACCEPTED}.")
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        raise ImageError(f"AVIF files cannot be read: use {ACCEPTED}.")
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > MAX_SCANS:  # in a scan, 0xFF is never followed by 0xDA
        raise ImageError(f"The image is a JPEG of more than {MAX_SCANS} scans: save it as an ordinary JPEG.")
    containers.refuse_raw(data)


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


def _opened(data: bytes) -> Source:
    _refuse_size("WEBP", _webp_size(data))  # Pillow allocates a WebP's canvas on opening
    image = _by_pillow(containers.main_tiff(data))
    kind = image.format or ""
    _refuse_size(kind, image.size)
    _choose_frame(image, kind)
    _refuse_mode(image.mode, image.info)
    if kind in ("JPEG", "MPO"):
        _refuse_progressive(image)
        _reduce_scale(image)

    def band(top: int, bottom: int) -> Image.Image:
        return image.crop((0, top, image.width, bottom))

    return Source(kind, image.size, image.mode, image.info.get("icc_profile"), band, lambda: _orientation(image))


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and bool(pillow_heif.is_supported(data))


def _heif(data: bytes) -> Source:
    """Turned and mirrored by its own decoder, whose pixels are read where they are."""
    file = _by_heif(data)
    pictures = [Picture(*image.size, offset=number) for number, image in enumerate(file)]
    image = file[containers.main_picture(pictures, "frames").offset]
    _refuse_size("HEIF", image.size)
    mode = image.mode.replace("a", "A")
    _refuse_mode(mode, image.info)

    def band(top: int, bottom: int) -> Image.Image:
        stride, width = image.stride, image.size[0]
        return Image.frombytes(
            mode, (width, bottom - top), image.data[top * stride : bottom * stride], "raw", mode, stride
        )

    profile = cast("bytes | None", image.info.get("icc_profile"))
    return Source("HEIF", image.size, mode, profile, band, lambda: 1)


def _by_heif(data: bytes) -> pillow_heif.HeifFile:
    try:
        return pillow_heif.open_heif(data, convert_hdr_to_8bit=True, remove_stride=False)
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _by_pillow(data: bytes) -> Image.Image:
    """Reads the header only. Pillow tries no decoder outside `FORMATS`."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels("JPEG"), detail=repr(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise _unreadable(error) from error


def _refuse_size(kind: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS[kind]:
        raise ImageError(_too_many_pixels(kind, size))
    if (width, height) == (0, 0):
        return
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The image is {width} x {height} pixels, too small to read: use one with at least {MIN_SIDE} "
            "pixels on each side."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"The image is a strip of {width} x {height} pixels: crop it around the lesion.")


def _choose_frame(image: Image.Image, kind: str) -> None:
    """Seeks the photograph. Raises ImageError where there are several."""
    if kind == "TIFF":  # its header leads to the photograph
        return
    count = int(getattr(image, "n_frames", 1))
    if count < 2:
        return
    if kind != "MPO":
        raise containers.several(count, "frames")
    pictures = [_frame(image, number) for number in range(min(count, MOST_FRAMES))]
    largest = max(pictures, key=lambda picture: picture.pixels)
    first = pictures[0]  # the photograph, or the left of a stereo pair, unless it is but a copy of a larger one
    image.seek(largest.offset if first.is_preview_of(largest) else 0)


def _frame(image: Image.Image, number: int) -> Picture:
    image.seek(number)
    return Picture(*image.size, offset=number)


def _refuse_mode(mode: str, info: Mapping[Any, Any]) -> None:
    if mode not in (*EIGHT_BIT_MODES, *SIXTEEN_BIT_MODES, "CMYK"):
        raise ImageError(f"The image's pixel format ({mode}) cannot be read: save it as an ordinary 8-bit JPEG or PNG.")
    if mode == "CMYK" and not info.get("icc_profile"):
        raise ImageError(
            "The image is in print colours (CMYK) without a colour profile: save it as RGB, since its colours are "
            "a guess otherwise."
        )


def _refuse_progressive(image: Image.Image) -> None:
    """The coefficients of a progressive JPEG are all in memory at once, whatever the scale."""
    if not image.info.get("progressive"):
        return
    layers = image.layer  # type: ignore[attr-defined]  # of JpegImageFile: (id, horizontal, vertical, table)
    widest, highest = max(part[1] for part in layers), max(part[2] for part in layers)
    shares = sum(part[1] * part[2] for part in layers) / (widest * highest)
    if image.width * image.height * shares > MAX_COEFFICIENTS:
        raise ImageError(
            f"The image is a progressive JPEG of {image.width} x {image.height} pixels, which takes too much memory: "
            "save it as an ordinary (baseline) JPEG, or smaller."
        )


# --- decoding ---------------------------------------------------------------------------


def _reduce_scale(image: Image.Image) -> None:
    """A JPEG can be decoded at a half, a quarter or an eighth: never below `MAX_SIDE`."""
    share = MAX_SIDE / max(image.size)
    if share < 1:
        image.draft(None, (round(image.width * share), round(image.height * share)))


def _reduced(source: Source) -> Image.Image:
    """Decoded, and reduced by a whole number: in RGB on white, or in L or CMYK, for which a profile is still true."""
    (width, height), small = source.size, None
    factor = max(1, int(max(width, height) / (MAX_SIDE * SHARP)))
    rows = max(1, BAND_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        band = _plain(source.band(top, min(height, top + rows)))
        band = band.reduce(factor) if factor > 1 else band
        small = small or Image.new(band.mode, (-(-width // factor), -(-height // factor)))
        small.paste(band, (0, top // factor))
    assert small is not None
    small.info = {"icc_profile": source.profile} if source.profile and source.mode not in ("LA", "PA") else {}
    return small


def _plain(band: Image.Image) -> Image.Image:
    """A part of the picture in 8 bits without transparency."""
    if band.mode in SIXTEEN_BIT_MODES:  # over the whole range of the format
        return band.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if band.mode in ("CMYK", "L") and "transparency" not in band.info:
        return band
    if band.mode in ("LA", "PA", "RGBA") or "transparency" in band.info:
        rgba = band.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return band.convert("RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ORIENTATION, 1))


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


def _unreadable(error: Exception) -> ImageError:
    return ImageError(f"This is not an image that can be read, or it is damaged: use {ACCEPTED}.", detail=repr(error))


def _damaged(error: Exception) -> ImageError:
    return ImageError("The image is damaged or incomplete: upload it again or export it anew.", detail=repr(error))


def _too_many_pixels(kind: str, size: tuple[int, int] | None = None) -> str:
    million = f"{MAX_PIXELS[kind] / 1e6:.3g}"
    if size is None:
        return f"The image has too many pixels, more than the {million} million that are accepted: save it smaller."
    width, height = size
    if MAX_PIXELS[kind] == MAX_PIXELS["JPEG"]:
        return (
            f"The image has {width} x {height} pixels, more than the {million} million that are accepted: save it "
            "smaller."
        )
    name = NAMES.get(kind, kind)
    return (
        f"The image has {width} x {height} pixels, more than the {million} million that are accepted of a {name} file: "
        "save it smaller or as JPEG."
    )
