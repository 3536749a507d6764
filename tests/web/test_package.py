"""The browser client as a file, as types, and as an npm package."""

import gzip
import json
import shutil
from pathlib import Path

from tests.node_packages import need_node
from tests.web.declarations import DECLARATIONS, declarations, document
from tests.web.node_programs import HERE, run_command

WEB = DECLARATIONS.parent
MAX_BYTES = 3_072
COMPILER_OPTIONS = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "module": "nodenext",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
}


async def compiles(program: str, folder: Path, **options: str) -> None:
    """Compile a program of `types/` strictly, in a folder with what it imports."""
    shutil.copy(HERE / "types" / program, folder)
    configured = {"compilerOptions": COMPILER_OPTIONS | options}
    (folder / "tsconfig.json").write_text(json.dumps(configured))
    await run_command("node", "node_modules/typescript/bin/tsc", "--project", str(folder))


def test_the_client_is_no_larger_than_promised() -> None:
    packed = gzip.compress((WEB / "client.js").read_bytes(), compresslevel=9, mtime=0)
    assert len(packed) <= MAX_BYTES


def test_the_types_are_those_of_the_openapi_document() -> None:
    need_node(HERE)
    assert DECLARATIONS.read_text(encoding="utf-8") == declarations(), "run `make types`"


async def test_the_package_holds_module_and_types_and_compiles_strictly(tmp_path: Path) -> None:
    packed = json.loads(
        await run_command("npm", "pack", "--json", f"--pack-destination={tmp_path}", cwd=WEB)
    )
    [package] = packed.values() if isinstance(packed, dict) else packed
    names = sorted(file["path"] for file in package["files"])
    assert names == ["README.md", "client.d.ts", "client.js", "package.json"]
    installed = tmp_path / "node_modules" / "imagesearch-client"
    installed.mkdir(parents=True)
    await run_command(
        *("tar", "-xzf", str(tmp_path / package["filename"])),
        *("--strip-components=1", "-C", str(installed)),
    )
    (tmp_path / "package.json").write_text('{"type": "module"}')
    await compiles("program.ts", tmp_path)
    imported = (
        'import { SearchClient } from "imagesearch-client"; console.log(typeof SearchClient);'
    )
    (tmp_path / "program.mjs").write_text(imported)
    assert (await run_command("node", str(tmp_path / "program.mjs"))).strip() == "function"


async def test_a_client_that_hey_api_generates_tells_every_event_apart(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(document(), encoding="utf-8")
    generator = ("node", "node_modules/@hey-api/openapi-ts/bin/run.js", "--silent")
    await run_command(
        *generator, "-i", str(tmp_path / "openapi.json"), "-o", str(tmp_path / "client")
    )
    await compiles("hey_api.ts", tmp_path, module="esnext", moduleResolution="bundler")
