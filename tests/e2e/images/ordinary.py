"""Pictures as cameras, browsers and editors make them: formats, modes, orientations, colours."""

from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.e2e.images.files import (
    COMMENT_MARK,
    GPS_MARK,
    XMP_MARK,
    Case,
    Goes,
    Make,
    cut_out,
    encoded,
    exif,
    gif_frames,
    grey,
    jpeg,
    noise,
    paletted,
    png,
    profile,
    scene,
    swapped_profile,
    ten_bit_heic,
    text_chunks,
    turned,
    with_segment,
)
from tests.e2e.images.samples import (
    ARITHMETIC_JPEG,
    PART_WEBP,
    SONY_HEIC,
    TEN_BIT_AVIF,
    TRANSPARENT_WEBP,
)

FINE: dict[str, Any] = {"quality": 95}
EXACT: dict[str, Any] = {"lossless": True}


def of(picture: Callable[[], Image.Image], kind: str, **options: Any) -> Make:
    """The picture as a file of this kind."""
    return lambda: encoded(picture(), kind, **options)


def in_mode(mode: str, picture: Callable[[], Image.Image] = scene) -> Callable[[], Image.Image]:
    return lambda: picture().convert(mode)


def stored(orientation: int) -> Callable[[], Image.Image]:
    return lambda: turned(orientation)


def in_the_corner() -> Image.Image:
    """One quarter of the scene in its place, and nothing else."""
    white = Image.new("RGB", (64, 48), "white")
    white.paste(scene().crop((32, 24, 64, 48)), (32, 24))
    return white


def deep() -> Image.Image:
    return grey().convert("I").point(lambda level: level * 257).convert("I;16")


def large(picture: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    return lambda: picture().resize((1000, 750))


def see_through_palette() -> Image.Image:
    return cut_out().quantize(64)


def beside(colour: tuple[int, int, int], height: int) -> Goes:
    """White beside a colour, scaled."""
    image = Image.new("RGB", (256, height), "white")
    image.paste(colour, (128, 0, 256, height))
    return Goes(lambda: image, scaled=True, tolerance=8)


def exchanged(picture: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Red for blue, and blue for red."""

    def exchange() -> Image.Image:
        red, green, blue, *alpha = picture().split()
        return Image.merge("RGBA" if alpha else "RGB", (blue, green, red, *alpha))

    return exchange


BLACK = Image.new("RGB", (64, 48))
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [BLACK]}
LZW, IN_JPEG = {"compression": "tiff_lzw"}, {"compression": "jpeg"} | FINE

FORMATS = [
    Case("a clean jpeg", jpeg, Goes(same=True, tolerance=3)),
    Case("a progressive jpeg", lambda: jpeg(progressive=True), Goes(same=True, tolerance=3)),
    Case("a clean png", png, Goes(same=True, tolerance=0)),
    Case("an apng", lambda: png(**FRAMES), Goes(tolerance=0)),
    Case("a webp", of(scene, "WEBP", **FINE), Goes(tolerance=8)),
    Case("a lossless webp", of(scene, "WEBP", **EXACT), Goes()),
    Case("an animated webp", of(scene, "WEBP", **FRAMES, **EXACT), Goes()),
    Case("an animated webp, first frame a part", lambda: PART_WEBP, Goes(in_the_corner)),
    Case("an animated webp, transparent", lambda: TRANSPARENT_WEBP, Goes(cut_out, tolerance=8)),
    Case("a gif", of(paletted, "GIF"), Goes(paletted)),
    Case("a gif of two frames", lambda: gif_frames(2), Goes(paletted)),
    Case("a bmp", of(scene, "BMP"), Goes()),
    Case("a tiff", of(scene, "TIFF"), Goes()),
    Case("a tiff of lzw strips", of(scene, "TIFF", **LZW), Goes()),
    Case("a tiff with a jpeg inside", of(scene, "TIFF", **IN_JPEG), Goes(tolerance=8)),
    Case("a heic", of(scene, "HEIF", **FINE), Goes(tolerance=10)),
    Case("a heic of tiles", of(scene, "HEIF", tile_size=32, **FINE), Goes(tolerance=10)),
    Case("a heic as Sony's, parameter sets in the item", lambda: SONY_HEIC, Goes(tolerance=10)),
    Case("a heic as Canon's", lambda: ten_bit_heic(chroma=422), Goes(tolerance=10)),
    Case("an avif", of(scene, "AVIF", **FINE), Goes(tolerance=10)),
    Case("an mpo", of(scene, "MPO", quality=92, **FRAMES), Goes()),
    Case("an avif of 10 bits", lambda: TEN_BIT_AVIF, beside((75, 75, 75), 192)),
    Case("a jpeg of arithmetic codes", lambda: ARITHMETIC_JPEG, beside((199, 60, 29), 256)),
]

MODES = [
    Case("png 1", of(in_mode("1"), "PNG"), Goes(in_mode("1"), same=True)),
    Case("png L", of(grey, "PNG"), Goes(grey, same=True)),
    Case("png LA", of(in_mode("LA", cut_out), "PNG"), Goes(in_mode("LA", cut_out), same=True)),
    Case("png P, transparent", of(see_through_palette, "PNG"), Goes(cut_out, same=True)),
    Case("png RGBA", of(cut_out, "PNG"), Goes(cut_out, same=True)),
    Case("png RGBA, large", of(large(cut_out), "PNG"), Goes(cut_out, scaled=True)),
    Case("png 16-bit", of(deep, "PNG"), Goes(grey)),
    Case("jpeg L", lambda: jpeg(grey()), Goes(grey, same=True)),
    Case("jpeg CMYK", lambda: jpeg(in_mode("CMYK")()), Goes()),
    Case("gif with a transparent colour", of(cut_out, "GIF"), Goes(cut_out)),
    Case("tiff 1", of(in_mode("1"), "TIFF"), Goes(in_mode("1"), tolerance=25)),
    Case("tiff CMYK", of(in_mode("CMYK"), "TIFF"), Goes()),
    Case("tiff 16-bit", of(deep, "TIFF"), Goes(grey)),
    Case("webp RGBA, lossy", of(cut_out, "WEBP", **FINE), Goes(cut_out, tolerance=8)),
    Case("avif RGBA", of(cut_out, "AVIF", **FINE), Goes(cut_out, tolerance=10)),
    Case("heic RGBA", of(cut_out, "HEIF", **FINE), Goes(cut_out, tolerance=10)),
]

TURNED = [
    Case(f"jpeg, orientation {n}", of(stored(n), "JPEG", exif=exif(orientation=n), **FINE), Goes())
    for n in range(2, 10)
]
TURNED += [
    Case(
        f"{kind}, orientation {n}",
        of(stored(n), kind, exif=exif(orientation=n), **(FINE if kind in ("AVIF", "HEIF") else {})),
        Goes(tolerance=10),
    )
    for kind in ("PNG", "WEBP", "TIFF", "HEIF", "AVIF")
    for n in (3, 5, 6, 8)
]

OTHER: dict[str, Any] = {"icc_profile": swapped_profile()}
COLOURS = [
    Case("jpeg, other profile", of(exchanged(scene), "JPEG", **OTHER, **FINE), Goes()),
    Case("png, other profile", of(exchanged(scene), "PNG", **OTHER), Goes()),
    Case("webp, other profile", of(exchanged(cut_out), "WEBP", **OTHER, **EXACT), Goes(cut_out)),
    Case("avif, other profile", of(exchanged(scene), "AVIF", **OTHER, **FINE), Goes(tolerance=10)),
    Case("webp, broken profile", of(scene, "WEBP", icc_profile=b"no", **EXACT), Goes()),
    Case("grey jpeg, RGB profile", of(grey, "JPEG", **OTHER, **FINE), Goes(grey)),
]

WHOLE: dict[str, Make] = {
    "jpeg": lambda: jpeg(scene(200, 150)),
    "progressive jpeg": lambda: jpeg(scene(200, 150), progressive=True),
    "png": lambda: png(scene(200, 150)),
    "webp": lambda: encoded(scene(200, 150), "WEBP"),
    "lossless webp": lambda: encoded(noise(80, 60), "WEBP", lossless=True),
    "webp with transparency": lambda: encoded(cut_out().resize((200, 150)), "WEBP"),
    "animated webp": lambda: encoded(noise(64, 48), "WEBP", **FRAMES, **EXACT),
    "gif": lambda: encoded(noise(80, 60).quantize(), "GIF"),
    "bmp": lambda: encoded(scene(80, 60), "BMP"),
    "tiff": lambda: encoded(noise(80, 60), "TIFF", compression="tiff_lzw"),
    "heic": lambda: encoded(noise(80, 60), "HEIF"),
    "heic of tiles": lambda: encoded(noise(200, 150), "HEIF", tile_size=64),
    "avif": lambda: encoded(noise(80, 60), "AVIF"),
}

GPS = exif(gps=True)


def photo(**options: Any) -> bytes:
    """As a phone takes it: where, with what, and who, in all the places that hold it."""
    file = jpeg(exif=GPS, xmp=XMP_MARK, comment=COMMENT_MARK, **options)
    return with_segment(0xED, b"Photoshop 3.0\0" + COMMENT_MARK, file) + XMP_MARK


TOLD: dict[str, Any] = {"exif": GPS, "xmp": XMP_MARK}
SRGB, TWO = profile("sRGB"), {"save_all": True, "append_images": [scene()]}
PRIVATE = [
    Case("jpeg of a phone", photo, Goes(tolerance=3)),
    Case("jpeg of a phone in sRGB", lambda: photo(icc_profile=SRGB), Goes(tolerance=3)),
    Case("jpeg of a phone, other colours", lambda: photo(**OTHER), Goes(exchanged(scene))),
    Case("png that tells", lambda: png(pnginfo=text_chunks(), exif=GPS) + XMP_MARK, Goes()),
    Case("png of 16 bits that tells", of(deep, "PNG", pnginfo=text_chunks(), exif=GPS), Goes(grey)),
    Case("webp that tells", of(scene, "WEBP", **TOLD, **EXACT), Goes()),
    Case("gif that tells", of(paletted, "GIF", comment=COMMENT_MARK), Goes(paletted)),
    Case("bmp that tells", lambda: encoded(scene(), "BMP") + XMP_MARK, Goes()),
    Case("tiff that tells", of(scene, "TIFF", exif=GPS, description=GPS_MARK), Goes()),
    Case("mpo that tells", of(scene, "MPO", **TOLD, **TWO, **FINE), Goes()),
    Case("heic that tells", of(scene, "HEIF", **TOLD, **FINE), Goes(tolerance=10)),
    Case("avif that tells", of(scene, "AVIF", **TOLD, **FINE), Goes(tolerance=10)),
    Case("heic, a thumbnail", of(scene, "HEIF", thumbnails=[32], **FINE), Goes(tolerance=10)),
]
"""Files that tell who took them and where."""
