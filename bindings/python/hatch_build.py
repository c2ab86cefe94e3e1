"""Builds the native library with cargo and puts it into the wheel, as `transom/_lib`."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CargoBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        here = Path(self.root)
        workspace = here / "rust" if (here / "rust").is_dir() else here.parents[1]
        command = ["cargo", "build", "--release", "--locked", "-p", "transom-capi"]
        output = subprocess.run(
            [*command, "--message-format=json-render-diagnostics"],
            cwd=workspace, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        built = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        files = [Path(file) for message in built for file in _cdylib_files(message)]
        library = next(file for file in files if file.suffix in (".so", ".dylib", ".dll"))
        if version == "editable":
            place = here / "src" / "transom" / "_lib"
            place.mkdir(exist_ok=True)
            shutil.copy2(library, place / library.name)
        build_data["force_include"][str(library)] = f"transom/_lib/{library.name}"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def _cdylib_files(message: dict[str, Any]) -> list[str]:
    target = message.get("target", {})
    wanted = target.get("name") == "transom" and "cdylib" in target.get("kind", [])
    return message.get("filenames", []) if wanted else []
