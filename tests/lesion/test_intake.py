"""Files good and bad: each becomes a lesion or one clear sentence."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageDraw

from dermiq.errors import ImageError
from dermiq.lesion import read_lesion
from dermiq.lesion.intake import MAX_SIDE

SIZE = (96, 64)  # width, height


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Red above, blue below: any turn is seen."""
    image = Image.new("RGB", size, (200, 30, 30))
    ImageDraw.Draw(image).rectangle((0, size[1] // 2, size[0], size[1]), fill=(30, 30, 200))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue primaries changed places."""
    data = srgb_profile()
    return data.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")


def cmyk_profile() -> bytes:
    """A printer's profile in which cyan ink is blue-green, magenta is pink and so on: one 2-point table."""
    inks = np.array([[62, -31, -64], [52, 81, -7], [95, -6, 95], [5, 0, 0]], dtype=float)  # Lab of full ink
    table = b""
    for index in range(16):
        lab = np.array([100.0, 0, 0])
        for ink in range(4):
            if index >> (3 - ink) & 1:
                lab = np.array([lab[0] * inks[ink, 0] / 100, *(lab[1:] + inks[ink, 1:])])
        table += bytes([round(lab[0] * 2.55), *(128 + lab[1:].clip(-127, 127).astype(int)).tolist()])
    matrix = b"".join(struct.pack(">i", 65536 * (k in (0, 4, 8))) for k in range(9))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    lut += bytes(-len(lut) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    tags = struct.pack(">I", 2)
    tags += b"A2B0" + struct.pack(">II", 128 + 28, len(lut)) + b"wtpt" + struct.pack(">II", 128 + 28 + len(lut), 20)
    body = tags + lut + white
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_rgb16(width: int, height: int, value: int) -> bytes:
    row = b"\0" + struct.pack(">H", value) * 3 * width
    return (
        png_header(width, height, depth=16) + png_chunk(b"IDAT", zlib.compress(row * height)) + png_chunk(b"IEND", b"")
    )


def webp_header(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas


def frames(kind: str) -> bytes:
    return encoded(picture(), kind, save_all=True, append_images=[Image.new("RGB", SIZE, "green")])


GOOD = {
    "jpeg": lambda: encoded(picture(), "JPEG"),
    "progressive jpeg": lambda: encoded(picture(), "JPEG", progressive=True),
    "grey jpeg": lambda: encoded(picture("L"), "JPEG"),
    "png": lambda: encoded(picture(), "PNG"),
    "one-bit png": lambda: encoded(picture("1"), "PNG"),
    "palette png": lambda: encoded(picture("P"), "PNG"),
    "palette png with transparency": lambda: encoded(picture("P"), "PNG", transparency=bytes([0, 128, 255])),
    "grey and alpha png": lambda: encoded(picture("LA"), "PNG"),
    "webp": lambda: encoded(picture(), "WEBP"),
    "lossless webp with alpha": lambda: encoded(picture("RGBA"), "WEBP", lossless=True),
    "tiff": lambda: encoded(picture(), "TIFF"),
    "bmp": lambda: encoded(picture(), "BMP"),
    "compressed tiff": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "jpeg with a profile": lambda: encoded(picture(), "JPEG", icc_profile=srgb_profile()),
    "16-bit rgb png": lambda: png_rgb16(64, 64, 40_000),
    "damaged colour profile": lambda: encoded(picture(), "PNG", icc_profile=b"not a profile"),
}

BAD = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"The lesion grew over the summer.", "not an image"),
    "noise": (lambda: bytes(range(256)) * 8, "not an image"),
    "svg": (lambda: b"<?xml version='1.0'?><svg width='90' height='90'/>", "SVG"),
    "pdf": (lambda: b"%PDF-1.7\n1 0 obj", "PDF"),
    "gif": (lambda: encoded(picture(), "GIF"), "GIF"),
    "animated gif": (lambda: frames("GIF"), "GIF"),
    "animated webp": (lambda: frames("WEBP"), "2 frames"),
    "apng": (lambda: frames("PNG"), "2 frames"),
    "multi-page tiff": (lambda: frames("TIFF"), "2 pages"),
    "avif": (lambda: b"\0\0\0\x20ftypavif" + bytes(40), "AVIF"),
    "dicom": (lambda: bytes(128) + b"DICM" + bytes(40), "DICOM"),
    "truncated jpeg": (lambda: encoded(picture(), "JPEG")[:-200], "damaged"),
    "truncated png": (lambda: encoded(picture(), "PNG")[:-60], "damaged"),
    "truncated webp": (lambda: encoded(picture(), "WEBP", lossless=True)[:40], "damaged"),
    "truncated tiff": (lambda: encoded(picture(), "TIFF", compression="tiff_lzw")[:300], "damaged"),
    "jpeg header alone": (lambda: encoded(picture(), "JPEG")[:20], "damaged"),
    "bomb png": (lambda: png_header(60_000, 60_000) + png_chunk(b"IDAT", b""), "too many pixels"),
    "large png header": (lambda: png_header(8_000, 8_000) + png_chunk(b"IDAT", b""), "million"),
    "bomb webp": (lambda: webp_header(16_000, 16_000), "million"),
    "cmyk jpeg without profile": (lambda: encoded(picture("CMYK"), "JPEG"), "CMYK"),
    "cmyk jpeg with a damaged profile": (lambda: encoded(picture("CMYK"), "JPEG", icc_profile=b"xx"), "CMYK"),
    "32-bit tiff": (lambda: encoded(picture("F"), "TIFF"), "pixel format"),
    "lab tiff": (lambda: encoded(picture("LAB"), "TIFF"), "pixel format"),
    "tiny": (lambda: encoded(picture(size=(40, 400)), "PNG"), "too small"),
    "strip": (lambda: encoded(picture(size=(640, 60)), "PNG"), "strip"),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_good_files_become_upright_rgb(make: Callable[[], bytes]) -> None:
    lesion = read_lesion(make(), view="close-up", taken="now")
    assert lesion.pixels.dtype == np.uint8
    assert lesion.pixels.shape[2] == 3
    assert lesion.pixels.flags.owndata
    assert (lesion.view, lesion.taken) == ("close-up", "now")


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_bad_files_say_what_to_do(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read_lesion(make())
    message = str(caught.value)
    assert message.endswith(".")
    assert len(message) < 200
    assert ": " in message or "use" in message, f"{message!r} does not say what to do"


def test_too_many_bytes() -> None:
    with pytest.raises(ImageError, match="MB"):
        read_lesion(encoded(picture()), max_bytes=100)


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    lesion = read_lesion(encoded(picture(), "JPEG", exif=exif))
    assert (lesion.width, lesion.height) == (64, 96)
    assert lesion.pixels[48, 60, 0] > 150  # the red top lies on the right
    assert lesion.pixels[48, 4, 2] > 150


def test_metadata_does_not_survive() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(picture(), "JPEG", exif=exif, comment=b"SECRETNAME")
    assert b"SECRETNAME" in data
    lesion = read_lesion(data)
    assert type(lesion.pixels) is np.ndarray
    assert b"SECRET" not in lesion.pixels.tobytes()
    assert b"SECRET" not in repr(lesion).encode()


def test_colour_profile_is_converted() -> None:
    plain = read_lesion(encoded(picture(), "PNG")).pixels
    same = read_lesion(encoded(picture(), "PNG", icc_profile=srgb_profile())).pixels
    swapped = read_lesion(encoded(picture(), "PNG", icc_profile=swapped_profile())).pixels
    assert np.abs(plain.astype(int) - same).max() <= 2
    assert swapped[4, 4, 2] > 150  # the file's red was the profile's blue


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_print_colours_are_converted_by_their_profile(kind: str) -> None:
    image = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    pixels = read_lesion(encoded(image, kind, icc_profile=cmyk_profile())).pixels
    red, green, blue = pixels[30, 40].astype(int)
    assert red > 180
    assert max(green, blue) < red - 80
    white = read_lesion(encoded(Image.new("CMYK", SIZE, 0), kind, icc_profile=cmyk_profile())).pixels
    assert white.min() > 245


def test_transparency_becomes_white() -> None:
    image = picture("RGBA")
    image.putalpha(0)
    assert (read_lesion(encoded(image, "PNG")).pixels == 255).all()


def test_sixteen_bits_keep_their_range() -> None:
    ramp = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))
    pixels = read_lesion(encoded(Image.fromarray(ramp), "PNG")).pixels
    assert pixels[0, 0, 0] == 0
    assert pixels[0, -1, 0] == 255
    assert abs(int(pixels[0, 48, 0]) - 128) <= 3
    assert abs(int(read_lesion(png_rgb16(64, 64, 40_000)).pixels[5, 5, 1]) - 156) <= 1


def test_heic() -> None:
    heif = pillow_heif.from_pillow(picture(size=(128, 96)))
    buffer = io.BytesIO()
    heif.save(buffer, quality=90)
    lesion = read_lesion(buffer.getvalue())
    assert (lesion.width, lesion.height) == (128, 96)
    assert lesion.pixels[5, 5, 0] > 150
    with pytest.raises(ImageError, match="damaged"):
        read_lesion(buffer.getvalue()[:-100])


def test_heic_with_two_images() -> None:
    heif = pillow_heif.from_pillow(picture())
    heif.add_from_pillow(picture())
    buffer = io.BytesIO()
    heif.save(buffer)
    with pytest.raises(ImageError, match="2 frames"):
        read_lesion(buffer.getvalue())


def test_a_preview_behind_the_jpeg_is_ignored() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[Image.new("RGB", SIZE, "green")])
    assert read_lesion(data).pixels[5, 5, 0] > 150


def test_large_images_are_scaled_down() -> None:
    lesion = read_lesion(encoded(picture(size=(3000, 1500)), "JPEG"))
    assert (lesion.width, lesion.height) == (MAX_SIDE, MAX_SIDE // 2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_fuzzed_files_give_a_lesion_or_a_sentence(kind: str) -> None:
    random = np.random.default_rng(len(kind))
    buffer = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(picture()).save(buffer)
    else:
        picture().save(buffer, kind)
    valid = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    for _ in range(80):
        data = valid.copy()
        places = random.integers(0, data.size if random.random() < 0.5 else min(200, data.size), random.integers(1, 12))
        data[places] = random.integers(0, 256, places.size)
        cut = data.size if random.random() < 0.7 else int(random.integers(1, data.size))
        with contextlib.suppress(ImageError):
            assert read_lesion(data[:cut].tobytes()).pixels.ndim == 3
