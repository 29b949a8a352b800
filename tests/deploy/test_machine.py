"""What of a machine may be used, read from cgroups as both of their versions write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermiq.deploy import machine
from dermiq.deploy.machine import Limits, limits

GIB = 2**30
V1 = "9:name=systemd:/\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n"
CASES = {
    "the second version, a container that sees itself as the root": (
        "0::/\n",
        {"cpu.max": "200000 100000\n", "memory.max": f"{4 * GIB}\n"},
        Limits(2, 4 * GIB),
    ),
    "half a core in a group above": (
        "0::/a/b\n",
        {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/memory.max": "max\n"},
        Limits(0.5, None),
    ),
    "the strictest counts": ("0::/a\n", {"memory.max": f"{8 * GIB}", "a/memory.max": f"{GIB}"}, Limits(None, GIB)),
    "the first version": (
        V1,
        {
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
            "memory/docker/abc/memory.limit_in_bytes": f"{2 * GIB}",
        },
        Limits(1.5, 2 * GIB),
    ),
    "the first version without limits": (
        V1,
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": f"{2**63}"},
        Limits(),
    ),
    "no cgroups at all": ("", {}, Limits()),
}


@pytest.mark.parametrize("case", CASES)
def test_limits_are_those_of_the_cgroup(case: str, tmp_path: Path) -> None:
    own, files, expected = CASES[case]
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert limits(tmp_path / "root", tmp_path / "own") == expected


def test_no_more_than_the_limit_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "limits", lambda: Limits(0.5, GIB))
    assert machine.cores()[1] == 0.5
    assert machine.memory()[1] == GIB


def test_the_disk_of_a_folder_that_is_not_there_yet_is_told(tmp_path: Path) -> None:
    assert machine.free(tmp_path / "a" / "b") == pytest.approx(machine.free(tmp_path), rel=0.1)
