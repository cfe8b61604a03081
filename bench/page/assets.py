# SPDX-License-Identifier: MIT
"""The packages of the npm registry that our page and asv's need. They are pinned, verified and kept below build/."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .. import ROOT

REGISTRY = "https://registry.npmjs.org"
KEPT = Path(ROOT, "build", "assets")
SECONDS = 60


class Package(NamedTuple):
    """What of it is kept. A wanted folder is kept with all that is in it."""

    name: str
    version: str
    sha512: str
    wanted: tuple[str, ...]


OF_PAGE = (
    Package(
        "d3",
        "7.9.0",
        "e1U46jVP+w7Iut8Jt8ri1YsPOvFpg46k+K8TpCb0P+zjCkjkPnV7WzfDJzMHy1LnA+wj5pLT1wjO901gLXeEhA==",
        ("dist/d3.min.js", "LICENSE"),
    ),
    Package(
        "@observablehq/plot",
        "0.6.17",
        "/qaXP/7mc4MUS0s4cPPFASDRjtsWp85/TbfsciqDgU1HwYixbSbbytNuInD8AcTYC3xaxACgVX06agdfQy9W+g==",
        ("dist/plot.umd.min.js", "LICENSE"),
    ),
)

OF_ASV = (
    Package(
        "jquery",
        "3.3.1",
        "Ubldcmxp5np52/ENotGxlLe6aGMvmF4R8S6tZjsP6Knsaxd/xp3Zrh50cG93lR6nPXyUFwzN3ZSOQI0wRJNdGg==",
        ("dist/jquery.min.js", "LICENSE.txt"),
    ),
    Package(
        "flot",
        "0.8.3",
        "xg2otcTJDvS+ERK+my4wxG/ASq90QURXtoM4LhacCq0jQW2jbyjdttbRNqU2cPykrpMvJ6b2uSp6SAgYAzj9tQ==",
        (
            "jquery.flot.js",
            "jquery.flot.time.js",
            "jquery.flot.selection.js",
            "jquery.flot.categories.js",
            "LICENSE.txt",
        ),
    ),
    Package(
        "flot-orderbars",
        "1.0.0",
        "Jv51fvzevUjNXEeozpwEKfPjhiZhfiJddv0WHjduUTCmSF+7T5K7C9c9Y1wIVmUhDBv5fLMjgbwKecT0GIKPZA==",
        ("js/jquery.flot.orderBars.js",),
    ),
    Package(
        "stupid-table-plugin",
        "1.1.3",
        "2Vk7XouQPxUQPRe9w0Fu7ZZ8kHLK7rDoLMsCgtKxRNJ7f4dSOGvW9CkHsq5wD6QsaEnWoyLBYH3xOEsrK3yWBg==",
        ("stupidtable.min.js", "LICENSE"),
    ),
    Package(
        "blueimp-md5",
        "2.19.0",
        "DRQrD6gJyy8FbiE4s+bDoXS9hiW3Vbx5uCdwvcCf3zLHL+Iv7LtGHLpr+GZV8rHG8tK766FGYBwRbu8pELTt+w==",
        ("js/md5.min.js", "LICENSE.txt"),
    ),
    Package(
        "bootstrap",
        "3.1.1",
        "TAzqS8E/ISpVHP29gYhy+1NSV+FJwApDVQhDfgLYsIuUDJiqJzH2DfORN5tiu+Ie2iBLrzEG34t4Rf465cigqg==",
        ("dist/js/bootstrap.min.js", "dist/css/bootstrap.min.css", "dist/fonts", "LICENSE"),
    ),
)


class AssetError(Exception):
    """A package cannot be fetched, or is not what was pinned. The text names it."""


def fetch(kept: Path = KEPT, packages: tuple[Package, ...] = OF_ASV) -> Path:
    """The folder with a folder for each package. Fetches those that are not there, and blocks on the network then."""
    kept.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if not (kept / package.name / stamp(package)).exists():
            unpack(package, verified(package, download(package)), kept)
    return kept


def cached(kept: Path = KEPT, packages: tuple[Package, ...] = OF_ASV) -> bool:
    """Whether fetch() needs no network."""
    return all((kept / package.name / stamp(package)).exists() for package in packages)


def stamp(package: Package) -> str:
    """The name of a file that is written last. It is another one when anything else is pinned."""
    return ".of-" + hashlib.sha256(repr(package).encode()).hexdigest()[:16]


def download(package: Package) -> bytes:
    """With npm if there is one, which knows the user's proxy and mirror, and else from the registry itself."""
    try:
        return with_npm(package) if shutil.which("npm") else from_registry(package)
    except (OSError, urllib.error.URLError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise AssetError(
            f"{package.name} {package.version} cannot be fetched from the npm registry: {told.strip()[-300:]}\n"
            f"It is needed once. With a network the same command fetches it to {KEPT}."
        ) from None


def with_npm(package: Package) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pack = ("npm", "pack", "--silent", "--ignore-scripts", "--fetch-retries=0")
        wanted = f"{package.name}@{package.version}"
        subprocess.run((*pack, wanted), cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def from_registry(package: Package) -> bytes:
    file = package.name.rpartition("/")[2]  # without the scope
    address = f"{REGISTRY}/{package.name}/-/{file}-{package.version}.tgz"
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        content: bytes = answer.read()
    return content


def verified(package: Package, archive: bytes) -> bytes:
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != package.sha512:
        raise AssetError(f"{package.name} {package.version} has sha512 {found}, but {package.sha512} is pinned")
    return archive


def unpack(package: Package, archive: bytes, kept: Path) -> None:
    """The wanted files, without their common first folder."""
    folder = kept / package.name
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for member in members:
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            content = members.extractfile(member) if ".." not in name.parts else None
            if content and any(name.is_relative_to(wanted) for wanted in package.wanted):
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())
    (folder / stamp(package)).touch()
