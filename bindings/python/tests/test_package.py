"""The build of the package: its messages when it fails, and the files in the package."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from transom import _native as native

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]


@unittest.skipUnless(importlib.util.find_spec("hatchling"), "needs hatchling: pip install hatchling")
class TestBuild(unittest.TestCase):
    def build(self, folder):
        """Returns the output of a build that finds only the programs in one folder."""
        with tempfile.TemporaryDirectory() as place:
            result = subprocess.run(
                [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place],
                cwd=PACKAGE,
                env={"PATH": folder, "HOME": os.environ.get("HOME", "/")},
                capture_output=True,
                text=True,
                timeout=300,
            )
            self.assertEqual((result.returncode, os.listdir(place)), (1, []))
        return result.stdout + result.stderr

    def test_without_cargo_it_says_what_to_install(self):
        with tempfile.TemporaryDirectory() as folder:
            said = self.build(folder)
        self.assertRegex(said, r"^transom is built with Rust, and cargo was not found\. Install Rust .*\n$")

    def test_when_cargo_fails_it_says_what_is_needed(self):
        with tempfile.TemporaryDirectory() as folder:
            cargo = Path(folder) / "cargo"
            cargo.write_text("#!/bin/sh\necho 'error: too old' >&2\nexit 101\n")
            cargo.chmod(0o755)
            said = self.build(folder)
        self.assertRegex(said, r"^error: too old\ntransom could not be built: .* Rust 1\.\d+ .*\n$")

    def test_it_names_the_rust_that_is_needed(self):
        needed = re.search(r'^rust-version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        self.assertEqual(self.hook().NO_CARGO.count(f"Rust {needed} or newer"), 1)
        self.assertEqual(self.hook().FAILED.count(f"Rust {needed} or newer"), 1)

    @unittest.skipUnless(shutil.which("cargo"), "asks cargo")
    def test_the_source_archive_has_all_that_its_manifest_names(self):
        with tempfile.TemporaryDirectory() as place:
            build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", place]
            subprocess.run(build, cwd=PACKAGE, check=True, capture_output=True, timeout=300)
            shutil.unpack_archive(next(Path(place).glob("*.tar.gz")), place)
            rust = next(Path(place).glob("*/rust"))
            told = subprocess.run(
                ["cargo", "fetch", "--locked", "--offline"],
                cwd=rust,
                capture_output=True,
                text=True,
                timeout=300,
            )
        # Cargo's cache may lack crates for other systems.
        self.assertNotIn("failed to parse manifest", told.stderr)

    def hook(self):
        spec = importlib.util.spec_from_file_location("hatch_build", PACKAGE / "hatch_build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @unittest.skipUnless(sys.platform == "linux" and shutil.which("readelf"), "compares with readelf")
    def test_the_tag_is_that_of_the_newest_symbol(self):
        told = subprocess.run(
            ["readelf", "--version-info", "--wide", native.path], capture_output=True, text=True, check=True
        ).stdout
        needs = told[told.index("Version needs section") :]
        names = re.findall(r"Name: (\S+)  Flags", needs)
        self.assertEqual(sorted(self.hook().needed_versions(native.path)), sorted(names))
        newest = max(tuple(map(int, name.split(".")[1:2])) for name in names if name.startswith("GLIBC_2."))
        self.assertRegex(self.hook().platform_tag(native.path), rf"^manylinux_2_{newest[0]}_\w+$")

    @unittest.skipUnless(sys.platform == "linux", "the library is an ELF file")
    def test_the_tag_names_the_machine_that_the_library_is_for(self):
        library = bytearray(Path(native.path).read_bytes())
        with tempfile.TemporaryDirectory() as place:
            other = Path(place) / "libtransom.so"
            for number, name in ((183, "aarch64"), (62, "x86_64")):
                library[18:20] = number.to_bytes(2, "little")
                other.write_bytes(library)
                self.assertRegex(self.hook().platform_tag(other), rf"^manylinux_2_\d+_{name}$")

    def test_the_tag_of_a_library_for_windows(self):
        with tempfile.TemporaryDirectory() as place:
            library = Path(place) / "transom.dll"
            for number, tag in ((0x8664, "win_amd64"), (0xAA64, "win_arm64"), (0x14C, "win32")):
                header = b"MZ".ljust(60, b"\0") + (128).to_bytes(4, "little")
                library.write_bytes(header.ljust(128, b"\0") + b"PE\0\0" + number.to_bytes(2, "little"))
                self.assertEqual(self.hook().platform_tag(library), tag)

    def test_the_licences_of_crates_come_along_however_their_files_are_written(self):
        with tempfile.TemporaryDirectory() as place:
            messages = []
            for crate, name in (
                ("one-1.0.0", "license-mit"),
                ("two-2.0.0", "LICENSE"),
                ("three-3.0.0", "COPYING.txt"),
            ):
                (Path(place) / crate).mkdir()
                (Path(place) / crate / name).write_text(f"the text of {crate}")
                messages.append({"manifest_path": f"{place}/{crate}/Cargo.toml"})
            texts = self.hook().third_party(messages, ROOT)
            for message in messages:
                self.assertIn(f"the text of {Path(message['manifest_path']).parent.name}", texts)


@unittest.skipUnless((ROOT / "Cargo.toml").is_file(), "in the source tree")
class TestFiles(unittest.TestCase):
    def test_the_licences_are_those_of_the_project(self):
        for name in ("LICENSE-APACHE", "LICENSE-MIT"):
            self.assertEqual((PACKAGE / name).read_bytes(), (ROOT / name).read_bytes())
