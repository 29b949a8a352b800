"""Files are decoded in processes that end when they should, and are read for what they hold."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from dermiq.decoder import worker
from dermiq.decoder.formats import IMAGE_SUFFIXES, MAX_SIDE, PATIENCE_S
from dermiq.decoder.pool import BUSY, POOL, TOO_LARGE, TOO_LONG, Pool, _Watch
from dermiq.errors import ImageError
from dermiq.lesion import read_lesion
from tests.nightly.hostile_images import encoded, heic, picture, png, scans, tiff, tiff_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pool() -> Iterator[Pool]:
    own = Pool()
    yield own
    own.close()


# --- processes --------------------------------------------------------------------------


def test_a_process_that_somebody_ended_is_replaced(pool: Pool) -> None:
    data = encoded(picture())
    assert pool.decode(data).shape == (120, 160, 3)
    for decoder in pool.decoders:
        decoder.process.kill()
        decoder.process.wait()
    assert pool.decode(data).shape == (120, 160, 3)


def test_a_file_that_takes_too_long_costs_the_others_nothing(pool: Pool) -> None:
    bomb, data = scans(190, (8000, 6000)), encoded(picture())
    told = []
    thread = threading.Thread(target=lambda: told.append(_sentence(pool, bomb)))
    thread.start()
    for _ in range(20):
        assert pool.decode(data).shape == (120, 160, 3)
    assert thread.is_alive(), "they were not kept waiting"
    thread.join()
    assert "longer than 4 seconds" in told[0] or "too busy" in told[0]
    assert pool.decode(data).shape == (120, 160, 3)


def _sentence(pool: Pool, data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        pool.decode(data)
    return str(caught.value)


def test_a_file_that_takes_too_much_memory_is_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.decode(encoded(picture()))
    (decoder,) = pool.decoders
    decoder.at_rest -= 250_000_000  # the parent's own watch, which also holds where the system has no limit
    assert _sentence(pool, png(7000, 7000)) == TOO_LARGE == worker.TOO_LARGE
    assert pool.decode(encoded(picture())).shape == (120, 160, 3)


def test_each_thread_gets_its_own_picture(pool: Pool) -> None:
    sizes = [(60 + 10 * k, 200 - 10 * k) for k in range(12)]
    got: dict[tuple[int, int], set[tuple[int, ...]]] = {size: set() for size in sizes}

    def read(size: tuple[int, int]) -> None:
        data = encoded(picture(*size), "PNG")
        for _ in range(10):
            got[size].add(pool.decode(data).shape)

    threads = [threading.Thread(target=read, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {(width, height): {(height, width, 3)} for width, height in sizes}
    assert len(pool.decoders) <= 2


def test_a_forked_process_has_decoders_of_its_own() -> None:
    """As the loaders of training data are."""
    shape = POOL.decode(encoded(picture())).shape
    script = """
    import multiprocessing, sys
    from dermiq.decoder.pool import POOL, decode
    data = open(sys.argv[1], "rb").read()

    def read(_):
        assert not POOL.decoders or POOL.decoders[0].process.pid not in THEIRS
        return decode(data).shape

    decode(data)
    THEIRS = {decoder.process.pid for decoder in POOL.decoders}
    with multiprocessing.get_context("fork").Pool(2) as pool:
        shapes = set(pool.map(read, range(20)))
    assert shapes == {decode(data).shape}
    assert {decoder.process.pid for decoder in POOL.decoders} == THEIRS
    print(shapes)
    """
    assert str(shape) in _run(script, encoded(picture())).stdout


ENDS = {
    "at the end": "",
    "by an exception": "raise SystemExit(3)",
    "at once": "import os; os._exit(1)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL if os.name != 'nt' else signal.SIGTERM)",
    "killed while it decodes": """
import os, signal, threading, time
threading.Thread(target=decode, args=(open(sys.argv[2], "rb").read(),), daemon=True).start()
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL if os.name != 'nt' else signal.SIGTERM)
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_no_process_outlives_its_parent(end: str, tmp_path: Path) -> None:
    script = f"""
import sys
from dermiq.decoder.pool import POOL, decode
decode(open(sys.argv[1], "rb").read())
print(*[decoder.process.pid for decoder in POOL.decoders], flush=True)
{ENDS[end]}
"""
    (tmp_path / "bomb").write_bytes(scans(190, (8000, 6000)))
    done = _run(script, encoded(picture()), str(tmp_path / "bomb"))
    assert "Error" not in done.stderr
    (pid,) = map(int, done.stdout.split())
    _, alive = psutil.wait_procs(_processes(pid), timeout=PATIENCE_S + 10)
    assert not alive


def _processes(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _run(script: str, data: bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, whose first argument is a file with `data`."""
    with tempfile.TemporaryDirectory() as folder:
        image, program = Path(folder) / "image", Path(folder) / "program.py"
        image.write_bytes(data)
        program.write_text(textwrap.dedent(script))
        return subprocess.run(
            [sys.executable, str(program), str(image), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )


def test_ctrl_c_is_for_the_parent(pool: Pool) -> None:
    pool.decode(encoded(picture()))
    (decoder,) = pool.decoders
    decoder.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert pool.decode(encoded(picture())).shape == (120, 160, 3)
    assert pool.decoders == [decoder]


def test_a_process_is_light(pool: Pool) -> None:
    """Neither torch nor numpy: two of them rest beside the app."""
    pool.decode(encoded(picture()))
    (decoder,) = pool.decoders
    assert decoder.at_rest < 60_000_000


# --- what files hold --------------------------------------------------------------------


def grey(value: int, width: int = 200, height: int = 160) -> Image.Image:
    return Image.new("L", (width, height), value)


def directory(at: int, image: Image.Image, *, order: str = "<", following: int = 0, **changes: int) -> bytes:
    """At `at`: the pixels, then a TIFF directory of them, which begins `image.width * image.height` bytes later."""
    tags = tiff_of(*image.size, strip=at, bytes=image.width * image.height)
    names = {"subfile": 254, "sub": 330, "dng": 50706, "compression": 259, "photometric": 262}
    tags = [tag for tag in tags if tag[0] not in {names[name] for name in changes}]
    tags = sorted([*tags, *((names[name], 4, 1, value) for name, value in changes.items())])
    packed = b"".join(struct.pack(order + "HHII", *tag) for tag in tags)
    return image.tobytes() + struct.pack(order + "H", len(tags)) + packed + struct.pack(order + "I", following)


def container(first: Image.Image, second: Image.Image, *, sub: bool = False, order: str = "<", **changes: int) -> bytes:
    """A TIFF of two pictures: the second follows the first, or lies below it. `changes` are the first one's tags;
    those that begin with second_ the second's."""
    theirs = {name.removeprefix("second_"): value for name, value in changes.items() if name.startswith("second_")}
    own = {name: value for name, value in changes.items() if not name.startswith("second_")}
    body = directory(8, second, order=order, **theirs)
    there = 8 + second.width * second.height
    at = 8 + len(body)
    own |= {"sub": there} if sub else {}
    body += directory(at, first, order=order, following=0 if sub else there, **own)
    start = struct.pack(order + "HHI", 0x4949 if order == "<" else 0x4D4D, 42, at + first.width * first.height)
    return start + body


SMALL, LARGE = grey(250, 100, 80), grey(60)
HOLDS = {
    "a thumbnail, as it says, then the photograph": container(SMALL, LARGE, subfile=1),
    "a thumbnail that does not say so": container(SMALL, LARGE),
    "in the other byte order": container(SMALL, LARGE, order=">"),
    "a padded thumbnail": container(grey(250, 80, 80), LARGE),
    "the photograph, then a thumbnail": container(LARGE, SMALL, second_subfile=1),
    "the photograph below its thumbnail": container(SMALL, LARGE, sub=True, subfile=1),
    "the photograph below what does not say that it is a thumbnail": container(SMALL, LARGE, sub=True),
    "a half-sized copy, as it says": container(grey(250, 150, 120), LARGE, subfile=1),
    "a mask, which is no picture": container(grey(250), LARGE, subfile=4),
    "a photograph that says it is a thumbnail": container(LARGE, SMALL, subfile=1),
}


@pytest.mark.parametrize("data", HOLDS.values(), ids=HOLDS)
def test_the_photograph_in_a_tiff_is_read(data: bytes) -> None:
    lesion = read_lesion(data)
    assert (lesion.width, lesion.height) == LARGE.size
    assert (lesion.pixels == 60).all()


@pytest.mark.parametrize("second", [grey(60), grey(60, 190, 160), grey(60, 160, 200)])
def test_pages_that_are_no_copies_are_refused(second: Image.Image) -> None:
    with pytest.raises(ImageError, match="holds 2 pages"):
        read_lesion(container(grey(250), second))


RAW = {
    "dng of a phone": container(SMALL, LARGE, sub=True, subfile=1, dng=0x01040000),
    "dng of one picture": container(LARGE, SMALL, dng=0x01040000, photometric=32803),
    "nef": container(SMALL, LARGE, sub=True, subfile=1, second_photometric=32803, second_compression=34713),
    "arw": container(SMALL, LARGE, sub=True, subfile=1, second_photometric=32803, second_compression=32767),
    "arw, other byte order": container(SMALL, LARGE, sub=True, order=">", second_photometric=32803),
    "pef": container(LARGE, SMALL, photometric=32803, compression=65535),
    "srw": container(SMALL, LARGE, sub=True, second_compression=32770),
    "linear dng": container(SMALL, LARGE, sub=True, second_photometric=34892),
    "cr2": b"II*\0\x10\0\0\0CR\x02\0" + container(SMALL, LARGE)[12:],
    "orf": b"IIRO\x08\0\0\0" + container(SMALL, LARGE)[8:],
    "rw2": b"IIU\0\x18\0\0\0" + container(SMALL, LARGE)[8:],
    "raf": b"FUJIFILMCCD-RAW 0201FF383501" + encoded(picture()),
    "cr3": struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + encoded(picture()),
    "x3f": b"FOVb" + bytes(200) + encoded(picture()),
    "crw": b"II\x1a\0\0\0HEAPCCDR" + bytes(200),
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_a_camera_raw_file_is_refused_with_what_to_do(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"camera raw file.*export") as caught:
        read_lesion(data)
    assert len(str(caught.value)) < 200


def test_the_photograph_of_an_mpo_is_read() -> None:
    for first, second in ((LARGE, SMALL), (SMALL, LARGE)):
        data = encoded(first.convert("RGB"), "MPO", save_all=True, append_images=[second.convert("RGB")])
        lesion = read_lesion(data)
        assert (lesion.width, lesion.height) == LARGE.size
        assert abs(int(lesion.pixels.mean()) - 60) < 4
    pair = encoded(LARGE.convert("RGB"), "MPO", save_all=True, append_images=[grey(250).convert("RGB")])
    assert abs(int(read_lesion(pair).pixels.mean()) - 60) < 4, "of a stereo pair the first"


def test_the_photograph_of_a_heic_is_read() -> None:
    for images in ((LARGE, SMALL), (SMALL, LARGE)):
        lesion = read_lesion(heic(*[image.convert("RGB") for image in images]))
        assert (lesion.width, lesion.height) == LARGE.size
        assert abs(int(lesion.pixels.mean()) - 60) < 4


def test_the_name_of_a_file_says_nothing() -> None:
    """.jfif is JPEG, as is .jpe; what is listed is what the lists of others hold."""
    assert {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif"} <= set(IMAGE_SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
    assert len(IMAGE_SUFFIXES) == len(set(IMAGE_SUFFIXES))


# --- this year's phones -----------------------------------------------------------------


@pytest.mark.parametrize("size", [(8160, 6144), (6144, 8160), (8064, 6048), (9248, 6936), (11648, 8736)])
def test_photographs_of_todays_phones_are_read(size: tuple[int, int]) -> None:
    """50, 48, 64 and 100 megapixels, as JPEG: in reduced scale."""
    image = Image.new("L", size, 90)
    image.paste(200, (0, 0, size[0], size[1] // 2))
    lesion = read_lesion(encoded(image, quality=50))
    assert max(lesion.width, lesion.height) == MAX_SIDE
    assert abs(lesion.width / lesion.height - size[0] / size[1]) < 0.01
    assert abs(int(lesion.pixels[lesion.height // 4].mean()) - 200) < 4
    assert abs(int(lesion.pixels[-9].mean()) - 90) < 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK", "I;16"])
def test_bands_make_no_seams(mode: str) -> None:
    """A large picture goes through in bands: a ramp stays one."""
    height, width = 2600, 2500
    ramp = np.linspace(20, 230, height)
    values = np.repeat(ramp[:, None], width, axis=1)
    if mode == "I;16":
        image = Image.fromarray((values * 257).astype(np.uint16))
    else:
        image = Image.fromarray(values.astype(np.uint8)).convert("RGB" if mode == "CMYK" else mode)
    pixels = read_lesion(encoded(image, "PNG")).pixels
    assert pixels.shape == (2048, 1969, 3)
    step = np.diff(pixels[:, 900, 0].astype(int))
    assert step.min() >= -1
    assert step.max() <= 2
    assert abs(int(pixels[1024, 5, 0]) - 125) <= 2


def test_a_progressive_file_too_large_for_the_memory_says_so() -> None:
    data = io.BytesIO()
    Image.new("RGB", (8160, 6144)).save(data, "JPEG", progressive=True, subsampling=0)
    with pytest.raises(ImageError, match=r"progressive JPEG of 8160 x 6144.*baseline"):
        read_lesion(data.getvalue())


def test_a_tiff_beyond_its_end_is_a_sentence() -> None:
    with pytest.raises(ImageError):
        read_lesion(tiff(tiff_of(100, 100), following=1 << 31))


def test_who_got_no_core_has_more_time() -> None:
    """On a computer that is busy with other things an ordinary photograph is not refused for that."""
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        pass
    watch, seen = _Watch(done, seconds=4.0), psutil.Process()
    asked = {passed: watch._reason(seen, passed, 0.5) for passed in (1.0, 3.9, 4.1, 7.9, 8.1)}
    assert asked == {1.0: "", 3.9: "", 4.1: "", 7.9: "", 8.1: BUSY}
    assert [watch._reason(seen, 4.1, computed) for computed in (0.6, 1.0, 3.0)] == ["", BUSY, TOO_LONG]
