"""Builds the native library with cargo and puts it into the wheel, as `transom/_lib`."""

import json
import os
import re
import shutil
import struct
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NO_CARGO = (
    "transom is built with Rust, and cargo was not found. Install Rust 1.88 or newer, for example as "
    "https://rustup.rs says, and a C linker (gcc or clang); then run the same command again."
)
FAILED = (
    "transom could not be built: see the messages of cargo above. It needs Rust 1.88 or newer, a C linker "
    "(gcc or clang), and access to crates.io or its crates in cargo's cache."
)


# The names of files with a licence, of which crates write some in small letters.
LICENCES = re.compile("licen[cs]e|copying|notice", re.IGNORECASE)
# The names of machines in platform tags, by their numbers in ELF files.
MACHINES = {3: "i686", 62: "x86_64", 183: "aarch64"}
# The platform tags of Windows, by the numbers of machines in its files.
WINDOWS = {0x14C: "win32", 0x8664: "win_amd64", 0xAA64: "win_arm64"}


class CargoBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        here = Path(self.root)
        workspace = here / "rust" if (here / "rust").is_dir() else here.parents[1]
        messages = self._build(workspace)
        files = [Path(file) for message in messages for file in _cdylib_files(message)]
        library = next(file for file in files if file.suffix in (".so", ".dylib", ".dll"))
        licences = library.with_name("THIRD-PARTY-LICENSES.txt")
        licences.write_text(third_party(messages, workspace), encoding="utf-8")
        if version == "editable":
            place = here / "src" / "transom" / "_lib"
            place.mkdir(exist_ok=True)
            shutil.copy2(library, place / library.name)
        for file in (library, licences):
            build_data["force_include"][str(file)] = f"transom/_lib/{file.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(library)}"
        self.app.display_info(f"{library.name}: {library.stat().st_size / 1e6:.2f} MB, {build_data['tag']}")

    def _build(self, workspace: Path) -> list[dict[str, Any]]:
        """Runs cargo and returns its messages about what it has built. Aborts if cargo fails."""
        command = ["cargo", "build", "--profile", "wheel", "--locked", "-p", "transom-capi"]
        try:
            output = subprocess.run(
                [*command, "--message-format=json-render-diagnostics"],
                cwd=workspace, check=True, stdout=subprocess.PIPE, text=True, env=environment(workspace),
            ).stdout  # fmt: skip
        except FileNotFoundError:
            self.app.abort(NO_CARGO)
        except (OSError, subprocess.CalledProcessError):
            self.app.abort(FAILED)
        messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [message for message in messages if message.get("reason") == "compiler-artifact"]


def environment(workspace: Path) -> dict[str, str]:
    """Returns the environment of cargo, which keeps paths of this machine out of the library."""
    cargo_home = os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")
    # The standard library has such paths if its source is installed.
    rustup_home = os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup")
    names = {rustup_home: "rustup", cargo_home: "cargo", str(workspace): "transom"}
    flags = [f"--remap-path-prefix={folder}={name}" for folder, name in names.items()]
    given = os.environ.get("CARGO_ENCODED_RUSTFLAGS")
    before = given.split("\x1f") if given else os.environ.get("RUSTFLAGS", "").split()
    # None twice: cargo would build anew what was built with each once.
    more = [flag for flag in flags if flag not in before]
    return {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join([*before, *more])}


def third_party(messages: list[dict[str, Any]], workspace: Path) -> str:
    """Returns the licences of the crates in the library, each text once."""
    crates: dict[str, list[str]] = {}
    folders = {Path(message["manifest_path"]).parent for message in messages}
    for folder in sorted(folders, key=lambda folder: folder.name):
        if not folder.is_relative_to(workspace):
            for file in sorted(folder.iterdir()):
                if file.is_file() and LICENCES.match(file.name):
                    crates.setdefault(file.read_text("utf-8", "replace").strip(), []).append(folder.name)
    line = "=" * 79
    return "".join(f"{line}\n{', '.join(names)}\n{line}\n\n{text}\n\n" for text, names in crates.items())


def platform_tag(library: Path) -> str:
    """Returns the platform tag of the library: with glibc, by the newest symbol that it needs (PEP 600)."""
    if library.suffix == ".dll":
        return WINDOWS[machine_of_pe(library)]
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if not platform.startswith("linux_"):
        return platform
    # The library may be for another machine than this one: cargo builds for CARGO_BUILD_TARGET.
    machine = MACHINES.get(machine_of(library), platform.removeprefix("linux_"))
    platform = f"linux_{machine}"
    versions = [re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", name) for name in needed_versions(library)]
    found = [(int(match[1]), int(match[2])) for match in versions if match]
    if not found:
        return platform
    # Installers know no tag for an older glibc.
    major, minor = max([*found, (2, 17)])
    return f"manylinux_{major}_{minor}_{machine}"


def machine_of(library: Path) -> int:
    """Returns the number of the machine that an ELF file is for (gABI, e_machine)."""
    data = library.read_bytes()[:20]
    return int.from_bytes(data[18:20], "little" if data[5] == 1 else "big")


def machine_of_pe(library: Path) -> int:
    """Returns the number of the machine that a library of Windows is for (PE format, COFF header)."""
    data = library.read_bytes()
    header = int.from_bytes(data[60:64], "little")
    return int.from_bytes(data[header + 4 : header + 6], "little")


def needed_versions(library: Path) -> list[str]:
    """Returns the symbol versions that an ELF file needs, such as `GLIBC_2.34` (gABI, .gnu.version_r)."""
    data = library.read_bytes()
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    at = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)[0]
    size, count = struct.unpack_from(order + "HH", data, 58 if wide else 46)
    section = struct.Struct(order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII"))
    # A section has its type, its offset, the section that it links to, and its number of entries.
    sections = [section.unpack_from(data, at + number * size) for number in range(count)]
    names = []
    for _, kind, _, _, start, _, linked, entries, *_ in sections:
        if kind != 0x6FFFFFFE:
            continue
        texts, need = sections[linked][4], start
        for _ in range(entries):
            _, versions, _, first, next_need = struct.unpack_from(order + "HHIII", data, need)
            version = need + first
            for _ in range(versions):
                _, _, _, name, next_version = struct.unpack_from(order + "IHHII", data, version)
                names.append(data[texts + name : data.index(b"\0", texts + name)].decode())
                version += next_version
            need += next_need
    return names


def _cdylib_files(message: dict[str, Any]) -> list[str]:
    target = message.get("target", {})
    wanted = target.get("name") == "transom" and "cdylib" in target.get("kind", [])
    return message.get("filenames", []) if wanted else []
