"""Small files of kinds that the encoders at hand do not write."""

from pathlib import Path

FOLDER = Path(__file__).parent / "samples"
SONY_HEIC = (FOLDER / "sony.heic").read_bytes()
TEN_BIT_AVIF = (FOLDER / "ten_bit.avif").read_bytes()
"""4000 x 3000 pixels of 10 bits a sample, white beside grey, made with libaom."""
ARITHMETIC_JPEG = (FOLDER / "arithmetic.jpg").read_bytes()
"""2048 x 2048 pixels, progressive, of arithmetic codes, white beside red, made with cjpeg."""
LYING_AVIF = (FOLDER / "lying.avif").read_bytes()
"""A grey picture of 256 megapixels that says it has 64 x 64, made with libaom."""
