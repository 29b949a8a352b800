"""Who vouches for the shipped parts: signatures over the manifests, made and verified by OpenSSH.

    python -m dermiq.signed verify --signers FILE      # FILE: the maintainers' public keys, "name ssh-ed25519 AAAA..."
    python -m dermiq.signed sign --key KEY             # a maintainer, at a release; KEY is never in the repository

A manifest names every part with its SHA-256, so that one signature stands for them all: `verify` checks
`manifest.json.sig` beside it, then every part against it. The keys have to come another way than the parts do: whoever
can change the parts could bring keys of their own along. Hashes alone (`dermiq.shipped`) tell damage, not malice.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dermiq.errors import DermIQError, InputError, ModelError
from dermiq.shipped import MANIFEST, PARTS, differing

NAMESPACE = "dermiq-shipped"  # a signature for something else, by the same key, does not count here


def sign(folder: Path, key: Path) -> Path:
    """Signs the folder's manifest; returns the signature's file. InputError where ssh-keygen cannot."""
    signature = _signature(folder)
    signature.unlink(missing_ok=True)  # ssh-keygen would ask before it writes over it
    done = _keygen("sign", "-f", str(key), "-n", NAMESPACE, str(folder / MANIFEST))
    if done.returncode:
        raise InputError(f"The manifest of {folder.name} could not be signed: {_said(done)}")
    return signature


def verify(folder: Path, signers: Path) -> str:
    """Whose signature it is, if the manifest and every part are as they signed them. Raises the folder's error."""
    error = PARTS.get(folder, ModelError)
    signature = _signature(folder)
    if not signature.is_file():
        raise error(f"{folder.name} is not signed: there is no {folder.name}/{signature.name}.")
    if not signers.is_file():
        raise InputError(f"There is no file {signers}: name one with the maintainers' public keys.")
    who = _signer(folder, signers, error)
    if wrong := differing(folder):
        raise error(f"{folder.name} is not as {who} signed it. Changed, missing or added: {', '.join(wrong)}.")
    return who


def _signer(folder: Path, signers: Path, error: type[DermIQError]) -> str:
    signed = ("-s", str(_signature(folder)))
    found = _keygen("find-principals", "-f", str(signers), *signed)
    name = found.stdout.decode().strip().split("\n")[0]
    manifest = (folder / MANIFEST).read_bytes()
    told = ("-f", str(signers), "-I", name, "-n", NAMESPACE, *signed)
    if found.returncode or not name or _keygen("verify", *told, data=manifest).returncode:
        raise error(
            f"The signature of {folder.name} does not hold: its {MANIFEST} is not the one that was signed, or the key "
            "is none of those in the file of signers. Do not use these files; fetch them anew from where they ship."
        )
    return name


def _signature(folder: Path) -> Path:
    return folder / f"{MANIFEST}.sig"


def _keygen(action: str, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = shutil.which("ssh-keygen")
    if command is None:
        raise InputError("ssh-keygen is not installed: it comes with OpenSSH (Debian: openssh-client).")
    return subprocess.run([command, "-Y", action, *arguments], input=data, capture_output=True, check=False)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip() or "ssh-keygen does not say why."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("sign").add_argument("--key", type=Path, required=True, help="an SSH private key")
    actions.add_parser("verify").add_argument("--signers", type=Path, required=True, help="ssh's allowed-signers file")
    options = parser.parse_args(arguments)
    try:
        for folder in PARTS:
            if options.action == "sign":
                print(sign(folder, options.key))
            else:
                print(f"{folder.name}: as signed by {verify(folder, options.signers)}")
    except DermIQError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
