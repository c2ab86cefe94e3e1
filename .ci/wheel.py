"""Checks a wheel: its tag, its licences, and that the library is stripped and names no folder of here.

With --unstripped, the library is one that was built for tests, and only the rest is checked.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

path = Path(sys.argv[-1])
is_for_windows = path.stem.endswith("-win_amd64")
with zipfile.ZipFile(path) as wheel:
    names = wheel.namelist()
    libraries = [name for name in names if name.startswith("transom/_lib/") and not name.endswith(".txt")]
    assert libraries == [f"transom/_lib/{'transom.dll' if is_for_windows else 'libtransom.so'}"], libraries
    library = wheel.read(libraries[0])
    crates = wheel.read("transom/_lib/THIRD-PARTY-LICENSES.txt").decode()
assert "-py3-none-win_amd64." in path.name or "-py3-none-manylinux_2_" in path.name, path.name
for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
    assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names), names
for crate in ("httparse", "matchit", "windows-sys" if is_for_windows else "rustix"):
    assert crate in crates, f"the licence of {crate} is missing"
if "--unstripped" not in sys.argv:
    for folder in {os.getcwd(), os.path.expanduser("~"), os.environ.get("CARGO_HOME", os.getcwd())}:
        assert folder.encode() not in library, f"the library names {folder}"
    assert b".symtab" not in library, "the library is not stripped"
if not is_for_windows:
    tag = path.stem.split("-none-")[1]
    said = subprocess.run(["auditwheel", "show", path], capture_output=True, text=True, check=True).stdout
    assert f'"{tag}"' in said, said
print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, its library {len(library) / 1e6:.2f} MB")
