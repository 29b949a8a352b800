"""Damaged files and bombs for the decoder, all made here from a seed. As a command it reads many and reports.

    python -m tests.nightly.hostile_images --files 5000 [--start 0] [--seed 17] [--no-bombs] [--out
    tests/nightly/hostile_images.txt]

Each file must become a picture or one sentence within 5 seconds and 300 MB. Exits with 1 where one does not.
"""

from __future__ import annotations

import argparse
import io
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
import psutil
from PIL import Image, ImageCms

from dermiq.decoder import pool
from dermiq.decoder.pool import POOL
from dermiq.errors import ImageError
from dermiq.lesion import read_lesion

MOST_SECONDS, MOST_BYTES = 5.0, 300_000_000
Make = Callable[[], bytes]


# --- ordinary files ---------------------------------------------------------------------


def picture(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """Smooth, with a dark spot."""
    if max(width, height) > 1000:
        return picture(width // 16, height // 16, mode).resize((width, height))
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    spot = np.exp(-20 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))
    pixels = np.stack([220 - 120 * spot, 170 - 110 * spot, 150 - 90 * spot + 10 * x], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(*images: Image.Image, **options: object) -> bytes:
    file = pillow_heif.from_pillow(images[0])
    for image in images[1:]:
        file.add_from_pillow(image)
    buffer = io.BytesIO()
    file.save(buffer, **options)
    return buffer.getvalue()


@cache
def seeds() -> tuple[bytes, ...]:
    """Ordinary files of every kind, with what files carry: profiles, notes of the camera, previews, alpha, frames."""
    image, profile = picture(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    other = image.rotate(180)
    return (
        encoded(image, "JPEG", icc_profile=profile, exif=exif),
        encoded(image, "JPEG", progressive=True, quality=90),
        encoded(image, "JPEG", restart_marker_blocks=1),
        encoded(image.convert("L"), "JPEG", comment=b"x" * 300),
        encoded(image.convert("CMYK"), "JPEG", icc_profile=profile),
        encoded(image, "MPO", save_all=True, append_images=[other.resize((80, 60))], exif=exif),
        encoded(image, "PNG", icc_profile=profile, exif=exif),
        encoded(picture(mode="P"), "PNG", transparency=bytes(range(0, 250, 10))),
        encoded(picture(mode="LA"), "PNG"),
        encoded(image, "PNG", save_all=True, append_images=[other]),
        encoded(image, "WEBP", icc_profile=profile, exif=exif),
        encoded(picture(mode="RGBA"), "WEBP", lossless=True),
        encoded(image, "WEBP", save_all=True, append_images=[other]),
        encoded(image, "TIFF", icc_profile=profile),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        encoded(image, "TIFF", compression="jpeg"),
        encoded(image, "TIFF", save_all=True, append_images=[other.resize((40, 30))]),
        encoded(image, "TIFF", big_tiff=True),
        encoded(Image.fromarray(np.arange(9600, dtype=np.uint16).reshape(80, 120)), "TIFF"),
        encoded(image, "BMP"),
        encoded(picture(mode="P"), "BMP"),
        heic(image, exif=exif.tobytes()),
        heic(image, other.resize((64, 48))),
        heic(picture(640, 480), tile_size=256),
    )


# --- damage -----------------------------------------------------------------------------


def bits(data: bytearray, random: np.random.Generator) -> None:
    for place in random.integers(0, len(data), random.integers(1, 30)):
        data[place] ^= 1 << int(random.integers(8))


def head(data: bytearray, random: np.random.Generator) -> None:
    for place in random.integers(0, min(len(data), 256), random.integers(1, 8)):
        data[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, int(random.integers(256))]))


def number(data: bytearray, random: np.random.Generator) -> None:
    """Lengths, offsets and sizes that lie."""
    for place in random.integers(0, max(1, len(data) - 4), random.integers(1, 4)):
        value = int(random.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(data), int(random.integers(2**32))]))
        data[place : place + 4] = struct.pack(">I" if random.random() < 0.5 else "<I", value)


def cut(data: bytearray, random: np.random.Generator) -> None:
    del data[int(random.integers(1, len(data))) :]


def hole(data: bytearray, random: np.random.Generator) -> None:
    place = int(random.integers(len(data)))
    del data[place : place + int(random.integers(1, 400))]


def zeros(data: bytearray, random: np.random.Generator) -> None:
    place = int(random.integers(len(data)))
    data[place : place + 200] = bytes(min(200, len(data) - place))


def repeat(data: bytearray, random: np.random.Generator) -> None:
    """A part many times: scans, chunks, directories, boxes."""
    begin, end = sorted(int(place) for place in random.integers(0, len(data), 2))
    part = bytes(data[begin : min(end, begin + 3000)])
    data[end:end] = part * int(random.integers(1, 200))


def splice(data: bytearray, random: np.random.Generator) -> None:
    """A part of another kind of file in the middle."""
    other = seeds()[int(random.integers(len(seeds())))]
    begin, end = sorted(int(place) for place in random.integers(0, len(other), 2))
    place = int(random.integers(len(data)))
    data[place : place + int(random.integers(1000))] = other[begin:end]


def sizes(data: bytearray, random: np.random.Generator) -> None:
    """Another width and height wherever the file tells them."""
    width, height = (int(side) for side in random.choice([1, 47, 5000, 9000, 16383, 40000, 65500], 2))
    for old in ((160, 120), (120, 80), (640, 480)):
        for form in (">HH", "<HH", ">II", "<II"):
            for pair, new in ((old, (width, height)), (old[::-1], (height, width))):
                told = struct.pack(form, *pair)
                data[:] = data.replace(told, struct.pack(form, *new))
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))


DAMAGE = (bits, head, number, cut, hole, zeros, repeat, splice, sizes)


def mutated(index: int, *, seed: int = 17) -> bytes:
    """The file of this number: the same on every machine with the same libraries."""
    random = np.random.default_rng((seed, index))
    data = bytearray(seeds()[index % len(seeds())])
    for _ in range(int(random.integers(1, 4))):
        DAMAGE[int(random.integers(len(DAMAGE)))](data, random)
        if not data:
            break
    return bytes(data)


# --- bombs ------------------------------------------------------------------------------


def scans(times: int, size: tuple[int, int] = (3000, 2000)) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(picture(*size), progressive=True, quality=60)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * times + data[end:]


def restarts() -> bytes:
    """A JPEG of restart markers alone."""
    data = encoded(picture(4000, 3000), restart_marker_blocks=1)
    begin = data.index(b"\xff\xda") + 14
    return data[:begin] + b"\xff\xd0\xff\xd1\xff\xd2\xff\xd3\xff\xd4\xff\xd5\xff\xd6\xff\xd7" * 1_000_000


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: int = 0, extra: bytes = b"") -> bytes:
    """Black, whatever its size: a megabyte of the file is a gigabyte of pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    count = height * (1 + width * samples * depth // 8) + (2 * height if interlaced else 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(min(1 << 20, count - at))) for at in range(0, count, 1 << 20))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + extra
    return start + png_chunk(b"IDAT", body + packer.flush()) + png_chunk(b"IEND", b"")


def text_bomb(kind: bytes) -> bytes:
    packed = zlib.compress(bytes(200_000_000), 9)
    return png_chunk(kind, {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[kind] + packed)


def tiff(tags: list[tuple[int, int, int, int]], *, following: int = 0, body: bytes = b"", order: str = "<") -> bytes:
    """One directory of (tag, type, count, value) at 8, then `body`."""
    packed = b"".join(struct.pack(order + "HHII", *tag) for tag in sorted(tags))
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IH", 8, len(tags)) + packed + struct.pack(order + "I", following) + body


def tiff_of(width: int, height: int, **changes: int) -> list[tuple[int, int, int, int]]:
    values = {"bits": 8, "compression": 1, "photometric": 1, "strip": 200, "samples": 1, "rows": height, "bytes": 1000}
    values |= changes
    names = {
        "bits": 258,
        "compression": 259,
        "photometric": 262,
        "strip": 273,
        "samples": 277,
        "rows": 278,
        "bytes": 279,
    }
    return [(256, 4, 1, width), (257, 4, 1, height), *((tag, 4, 1, values[name]) for name, tag in names.items())]


def deflated_tiff(width: int, height: int) -> bytes:
    """One strip of zeros."""
    body = zlib.compress(bytes(width * height), 9)
    return tiff(tiff_of(width, height, compression=8, strip=122, bytes=len(body)), body=body)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def nested(depth: int) -> bytes:
    """A HEIC file of boxes within boxes."""
    inner = b""
    for _ in range(depth):
        inner = box(b"meta", bytes(4) + inner)
    return box(b"ftyp", b"heic" + bytes(4) + b"heicmif1") + inner


def heic_of(width: int, height: int) -> bytes:
    """A HEIC file that tells of a larger picture than it holds."""
    data = heic(picture(640, 480))
    return data.replace(struct.pack(">II", 640, 480), struct.pack(">II", width, height))


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS: dict[str, Make] = {
    "last scan 150 times": lambda: scans(150),
    "last scan 2000 times": lambda: scans(2000),
    "last scan 190 times, 48 megapixels": lambda: scans(190, (8000, 6000)),
    "restart markers": restarts,
    "a progressive JPEG of 48 megapixels": lambda: encoded(picture(8000, 6000), progressive=True),
    "a progressive JPEG of 48 megapixels, 4:4:4": lambda: encoded(picture(8000, 6000), progressive=True, subsampling=0),
    "a JPEG header of 65500 x 65500": lambda: sized_jpeg(65500, 65500),
    "a JPEG header of 16320 x 12240": lambda: sized_jpeg(12240, 16320),
    "a PNG of 49 megapixels": lambda: png(7000, 7000),
    "a PNG of 49 megapixels with alpha": lambda: png(7000, 7000, colour=6),
    "a PNG of 49 megapixels, 16 bits, with alpha": lambda: png(7000, 7000, colour=6, depth=16),
    "an interlaced PNG of 49 megapixels": lambda: png(7000, 7000, interlaced=1),
    "a PNG of 400 megapixels": lambda: png(20000, 20000, depth=1, colour=0),
    "a PNG with a text of 200 MB": lambda: png(100, 100, extra=text_bomb(b"zTXt")),
    "a PNG with a profile of 200 MB": lambda: png(100, 100, extra=text_bomb(b"iCCP")),
    "a PNG with a Unicode text of 200 MB": lambda: png(100, 100, extra=text_bomb(b"iTXt")),
    "a PNG of a million chunks": lambda: png(100, 100, extra=png_chunk(b"tEXt", b"a\0b") * 1_000_000),
    "an APNG of 100 frames": lambda: encoded(
        picture(), "PNG", save_all=True, append_images=[picture().rotate(k) for k in range(100)]
    ),
    "a WebP of 100 frames": lambda: encoded(
        picture(), "WEBP", save_all=True, append_images=[picture().rotate(k) for k in range(100)]
    ),
    "a WebP canvas of 16 million squared": lambda: riff(b"VP8X", struct.pack("<I", 10), bytes(4) + b"\xff" * 6),
    "a WebP that lies about its canvas": lambda: lying_webp(3600, 3600),
    "a lossless WebP of 13 megapixels": lambda: encoded(picture(3600, 3600), "WEBP", lossless=True, method=0),
    "a TIFF of 49 megapixels in one strip": lambda: deflated_tiff(7000, 7000),
    "a TIFF whose directory leads to itself": lambda: tiff(tiff_of(100, 100), following=8, body=bytes(11000)),
    "a TIFF whose sub-directory is the main one": lambda: tiff([*tiff_of(100, 100), (330, 4, 1, 8)], body=bytes(11000)),
    "a TIFF of 60000 directories": lambda: many_directories(60_000),
    "a TIFF of 200 directories of 65000 entries": lambda: wide_directories(),
    "a TIFF with a tag of 4 billion values": lambda: tiff(
        [*tiff_of(100, 100), (700, 1, 2**32 - 1, 8), (34675, 7, 2**31, 8)], body=bytes(11000)
    ),
    "a TIFF of 4 billion strips": lambda: tiff(
        [*tiff_of(7000, 7000)[:-3], (277, 4, 1, 1), (278, 4, 1, 1), (279, 4, 2**32 - 1, 8)], body=bytes(9000)
    ),
    "a TIFF of 60000 samples": lambda: tiff(tiff_of(7000, 7000, samples=60_000), body=bytes(9000)),
    "a TIFF of a huge strip": lambda: tiff(tiff_of(7000, 7000, compression=5, bytes=2**32 - 1), body=bytes(9000)),
    "a HEIC of 2000 boxes within boxes": lambda: nested(2000),
    "a HEIC that tells of 8000 x 6000": lambda: heic_of(8000, 6000),
    "a HEIC that tells of 60000 x 60000": lambda: heic_of(60_000, 60_000),
    "a HEIC of 40 pictures": lambda: heic(*[picture()] * 40),
    "a HEIC of zeros": lambda: box(b"ftyp", b"heic" + bytes(4) + b"heicmif1") + bytes(1_000_000),
    "a run-length BMP of 50 megapixels": lambda: run_length_bmp(7000, 7000),
    "zeros": lambda: bytes(20_000_000),
}
"""By what they are; each is made when it is asked for."""


def sized_jpeg(width: int, height: int) -> bytes:
    data = encoded(picture())
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def lying_webp(width: int, height: int) -> bytes:
    plain = encoded(picture(), "WEBP")
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff(b"VP8X", struct.pack("<I", 10), bytes(4) + canvas, plain[12:])


def many_directories(count: int) -> bytes:
    size = 2 + 9 * 12 + 4
    one = [struct.pack("<HHII", *tag) for tag in sorted(tiff_of(100, 100))]
    each = (struct.pack("<H", 9) + b"".join(one) + struct.pack("<I", 8 + size * (k + 1)) for k in range(count))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(each)


def wide_directories() -> bytes:
    """Each begins 12 bytes after the one before, within its entries."""
    entry = struct.pack("<HHII", 330, 4, 64, 8) + struct.pack("<HHII", 65000, 4, 1, 8)
    return b"II*\0" + struct.pack("<IHI", 8, 65000, 8) + entry * 60_000


def run_length_bmp(width: int, height: int) -> bytes:
    body = (b"\xff\0" * (width // 255 + 1) + b"\0\0") * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(body), 0, 0, 54 + 1024) + head + bytes(1024) + body


# --- reading them -----------------------------------------------------------------------


class Memory:
    """The most that a decoding process had above what it has at rest, in bytes. Looks every few milliseconds."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._note()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self._note()

    def _note(self) -> None:
        for decoder in list(POOL.decoders):
            if decoder.at_rest:
                self.most = max(self.most, peak(decoder.process.pid) - decoder.at_rest)


def peak(pid: int) -> int:
    """The highest resident memory so far, bytes; where the system does not tell it, that of now."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    except OSError:
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0


@dataclass
class Tally:
    outcomes: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # seconds
    largest: tuple[int, str] = (0, "")  # bytes

    def read(self, data: bytes, name: str) -> None:
        POOL.prepare()
        with Memory() as memory:
            began = time.perf_counter()
            self.outcomes[self._outcome(data, name)] += 1
            seconds = time.perf_counter() - began
        if seconds > self.slowest[0]:
            self.slowest = seconds, name
        if memory.most > self.largest[0]:  # a process's highest so far: an equal one is an earlier file's
            self.largest = memory.most, name

    def _outcome(self, data: bytes, name: str) -> str:
        try:
            pixels = read_lesion(data).pixels
        except ImageError as error:
            return " ".join("#" if word[:1].isdigit() else word for word in str(error).split())
        except Exception as error:
            self.foreign.append(f"{name}: {error!r}")
            return "a foreign exception"
        return "a picture" if pixels.ndim == 3 and pixels.dtype == np.uint8 else "no picture"

    @property
    def holds(self) -> bool:
        return not self.foreign and self.slowest[0] < MOST_SECONDS and self.largest[0] < MOST_BYTES

    def lines(self, title: str) -> Iterator[str]:
        yield f"{title}: {self.outcomes.total()} files"
        yield f"  slowest {self.slowest[0]:.2f} s ({self.slowest[1]})"
        yield f"  most memory {self.largest[0] / 1e6:.0f} MB above a process at rest ({self.largest[1]})"
        yield f"  foreign exceptions: {len(self.foreign)}"
        yield from (f"    {line}" for line in self.foreign)
        yield from (f"  {count:5d}  {outcome}" for outcome, count in self.outcomes.most_common())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Damaged files and bombs against the decoder.")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--no-bombs", action="store_true", help="damaged files alone")
    parser.add_argument("--out", type=Path, help="where the report goes, too")
    options = parser.parse_args(arguments)
    bombs, damaged = Tally(), Tally()
    vars(pool)["PATIENCE_S"] = 0.0  # it is the budget that is measured, however busy the computer
    read_lesion(seeds()[0])  # the process has started
    for name, make in ({} if options.no_bombs else BOMBS).items():
        bombs.read(make(), name)
    for index in range(options.start, options.start + options.files):
        damaged.read(mutated(index, seed=options.seed), f"file {index}")
    title = f"damaged, seed {options.seed}, from {options.start}"
    told = [] if options.no_bombs else list(bombs.lines("bombs"))
    report = "\n".join([*told, *damaged.lines(title)])
    print(report)
    if options.out:
        options.out.write_text(report + "\n", encoding="utf-8")
    return 0 if bombs.holds and damaged.holds else 1


if __name__ == "__main__":
    sys.exit(main())
