"""Signatures over what ships, with a key that is thrown away: what was signed verifies, what was changed does not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dermiq import shipped, signed
from dermiq.errors import DermIQError, InputError, ModelError
from dermiq.signed import sign, verify

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH's ssh-keygen is not installed")
WHO = "maintainer@example.org"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made], check=True)
    return made


@pytest.fixture
def signers(key: Path) -> Path:
    made = key.with_name("signers")
    made.write_text(f"{WHO} {key.with_suffix('.pub').read_text()}", encoding="utf-8")
    return made


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two parts that is taken for shipped, with its manifest."""
    folder = (tmp_path / "weights").resolve()
    (folder / "nano").mkdir(parents=True)
    (folder / "nano" / "config.json").write_text("{}")
    (folder / "nano" / "model.safetensors").write_bytes(b"0123456789")
    monkeypatch.setattr(shipped, "PARTS", {folder: ModelError})
    monkeypatch.setattr(signed, "PARTS", {folder: ModelError})
    shipped.seal(folder)
    return folder


def test_what_a_maintainer_signed_verifies_with_their_name(parts: Path, key: Path, signers: Path) -> None:
    assert sign(parts, key).name == "manifest.json.sig"
    assert verify(parts, signers) == WHO
    sign(parts, key)  # anew, without a question
    assert verify(parts, signers) == WHO


def changed_byte(folder: Path) -> None:
    (folder / "nano" / "model.safetensors").write_bytes(b"0123456780")


def sealed_anew(folder: Path) -> None:
    """As who changes a part on purpose: hashes agree, and only the signature tells."""
    changed_byte(folder)
    shipped.seal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_byte, "nano/model.safetensors"),
        (sealed_anew, "does not hold"),
        (lambda folder: (folder / "nano" / "config.json").unlink(), "nano/config.json"),
        (lambda folder: (folder / "nano" / "more.npz").write_bytes(b"0"), "nano/more.npz"),
        (lambda folder: (folder / "manifest.json.sig").write_text("none"), "does not hold"),
        (lambda folder: (folder / "manifest.json.sig").unlink(), "is not signed"),
    ],
)
def test_what_was_changed_is_refused(
    change: Callable[[Path], object], said: str, parts: Path, key: Path, signers: Path
) -> None:
    sign(parts, key)
    change(parts)
    with pytest.raises(ModelError, match=said):
        verify(parts, signers)


def test_another_key_and_a_signature_for_another_purpose_are_refused(parts: Path, key: Path, signers: Path) -> None:
    other = key.with_name("other")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    sign(parts, other)
    with pytest.raises(ModelError, match="does not hold"):
        verify(parts, signers)
    (parts / "manifest.json.sig").unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "git", str(parts / "manifest.json")]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ModelError, match="does not hold"):
        verify(parts, signers)


def test_a_key_that_is_missing_and_a_machine_without_ssh_are_sentences(
    parts: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="could not be signed"):
        sign(parts, key.with_name("absent"))
    sign(parts, key)
    with pytest.raises(InputError, match="There is no file"):
        verify(parts, key.with_name("absent"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="ssh-keygen is not installed"):
        sign(parts, key)


def test_the_command_says_what_does_not_hold(
    parts: Path, signers: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed.main(["sign", "--key", str(key)]) == 0
    assert signed.main(["verify", "--signers", str(signers)]) == 0
    assert f"weights: as signed by {WHO}" in capsys.readouterr().out
    changed_byte(parts)
    assert signed.main(["verify", "--signers", str(signers)]) == 1
    assert "Changed, missing or added: nano/model.safetensors." in capsys.readouterr().err


def test_the_day_of_a_manifest_changes_with_a_part_alone(parts: Path) -> None:
    manifest = parts / shipped.MANIFEST
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "changed": "2020-01-01"}))
    shipped.seal(parts)
    assert shipped.changed(parts) == "2020-01-01"
    before = shipped.fingerprint(parts)
    sealed_anew(parts)
    assert shipped.changed(parts) > "2020-01-01"
    assert shipped.fingerprint(parts) != before


def test_errors_are_of_the_tree() -> None:
    with pytest.raises(DermIQError, match=r"manifest\.json"):
        shipped.fingerprint(Path("/nowhere"))
