"""Memory above idle, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.files import encoded, jpeg, noise, scene

MEASURE = """
import io, json, sys
from pathlib import Path
from PIL import Image
from app.images.limits import ImageLimits
from app.images.normalise import examine

def bytes_of(name):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if name in x)
    return int(line.split()[1]) * 1024

limits = ImageLimits(max_bytes=0)
for kind in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    examine(memoryview(file.getvalue()), ImageLimits(max_side=32)).finish()
idle = bytes_of("VmRSS:")
body = Path(sys.argv[1]).read_bytes()
Path("/proc/self/clear_refs").write_text("5")
plan = examine(memoryview(body), limits)
charged = plan.memory_bytes
plan.finish()
print(json.dumps([len(body), bytes_of("VmHWM:") - idle, charged]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")


def measured(body: bytes, folder: Path) -> tuple[int, int, int]:
    """Bytes of the body, peak bytes above idle with it, and bytes charged besides it."""
    file = folder / "body"
    file.write_bytes(body)
    run = [sys.executable, "-c", MEASURE, str(file)]
    size, peak, charged = json.loads(subprocess.check_output(run))
    return size, peak, charged


def large_photo() -> bytes:
    """24 megapixels that take 20 MB."""
    tile = noise(1500, 1000)
    image = tile.resize((6000, 4000))
    for left in range(0, 6000, 1500):
        for top in range(0, 4000, 1000):
            image.paste(tile, (left, top))
    return jpeg(image, quality=80, subsampling=2)


def test_a_large_jpeg_takes_under_four_times_its_size(tmp_path: Path) -> None:
    size, peak, charged = measured(large_photo(), tmp_path)
    assert 15_000_000 < size < 21_000_000
    assert peak < 4 * size
    assert peak <= size + charged


@pytest.mark.parametrize(
    ("kind", "bytes_a_pixel"),
    [("PNG", 8), ("BMP", 8), ("GIF", 8), ("TIFF", 8), ("HEIF", 8), ("AVIF", 12), ("WEBP", 19)],
)
def test_another_picture_takes_its_pixels_and_what_it_was_charged(
    kind: str, bytes_a_pixel: int, tmp_path: Path
) -> None:
    body = encoded(scene(4000, 3000), kind)
    size, peak, charged = measured(body, tmp_path)
    assert peak <= size + bytes_a_pixel * 12_000_000
    assert peak <= size + charged
