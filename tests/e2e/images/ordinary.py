"""Pictures as cameras, browsers and editors make them: formats, modes, orientations, colours."""

from typing import Any

from PIL import Image

from tests.e2e.images import files
from tests.e2e.images.files import Case, Goes, Make, cut_out, encoded, exif, jpeg, noise, png, scene
from tests.e2e.images.samples import ARITHMETIC_JPEG, SONY_HEIC, TEN_BIT_AVIF

FINE: dict[str, Any] = {"quality": 95}
EXACT: dict[str, Any] = {"lossless": True}
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}
OTHER: dict[str, Any] = {"icc_profile": files.swapped_profile()}
SCENE, GREY, PALETTED, CUT_OUT, LARGE = scene(), files.GREY, files.PALETTED, cut_out(), (1000, 750)
BITS, DEEP = SCENE.convert("1"), GREY.convert("I").point(lambda level: level * 257).convert("I;16")


def of(picture: Image.Image, kind: str, **options: Any) -> Make:
    """The picture as a file of this kind."""
    return lambda: encoded(picture, kind, **options)


def beside(colour: tuple[int, int, int], height: int) -> Goes:
    """White beside a colour, scaled."""
    image = Image.new("RGB", (256, height), "white")
    image.paste(colour, (128, 0, 256, height))
    return Goes(image, scaled=True, tolerance=8)


def exchanged(picture: Image.Image) -> Image.Image:
    """Red for blue, and blue for red."""
    red, green, blue, *alpha = picture.split()
    return Image.merge(picture.mode, (blue, green, red, *alpha))


GPS, XMP, COMMENT = exif(gps=True), files.XMP_MARK, files.COMMENT_MARK


def photo(**options: Any) -> bytes:
    """As a phone takes it: where, with what, and who, in all the places that hold it."""
    file = jpeg(exif=GPS, xmp=XMP, comment=COMMENT, **options)
    return files.with_segment(0xED, b"Photoshop 3.0\0" + COMMENT, file) + XMP


TELLS: dict[str, Any] = {"exif": GPS, "xmp": XMP}
TEXTS: dict[str, Any] = {"exif": GPS, "pnginfo": files.text_chunks()}
CASES = [
    # Formats.
    Case("a clean jpeg", jpeg, Goes(same=True, tolerance=3)),
    Case("a progressive jpeg", lambda: jpeg(progressive=True), Goes(same=True, tolerance=3)),
    Case("a jpeg of arithmetic codes", lambda: ARITHMETIC_JPEG, beside((199, 60, 29), 256)),
    Case("a clean png", png, Goes(same=True, tolerance=0)),
    Case("an apng", lambda: png(**FRAMES), Goes(tolerance=0)),
    Case("an animated webp", of(SCENE, "WEBP", **FRAMES, **EXACT), Goes()),
    Case("a bmp", of(SCENE, "BMP"), Goes()),
    Case("a heic of tiles", of(SCENE, "HEIF", tile_size=32, **FINE), Goes(tolerance=10)),
    Case("a heic as Sony's, parameter sets in the item", lambda: SONY_HEIC, Goes(tolerance=10)),
    Case("an mpo", of(SCENE, "MPO", quality=92, **FRAMES), Goes()),
    Case("an avif of 10 bits", lambda: TEN_BIT_AVIF, beside((75, 75, 75), 192)),
    # Modes.
    Case("png 1", of(BITS, "PNG"), Goes(BITS, same=True)),
    Case("png P, transparent", of(CUT_OUT.quantize(64), "PNG"), Goes(CUT_OUT, same=True)),
    Case("png RGBA", of(CUT_OUT, "PNG"), Goes(CUT_OUT, same=True)),
    Case("png RGBA, large", of(CUT_OUT.resize(LARGE), "PNG"), Goes(CUT_OUT, scaled=True)),
    Case("jpeg L", lambda: jpeg(GREY), Goes(GREY, same=True)),
    Case("jpeg CMYK", lambda: jpeg(SCENE.convert("CMYK")), Goes()),
    Case("gif with a transparent colour", of(CUT_OUT, "GIF"), Goes(CUT_OUT)),
    Case("tiff 1", of(BITS, "TIFF"), Goes(BITS, tolerance=25)),
    # Colours.
    Case("png, other profile", of(exchanged(SCENE), "PNG", **OTHER), Goes()),
    Case("webp, other profile", of(exchanged(CUT_OUT), "WEBP", **OTHER, **EXACT), Goes(CUT_OUT)),
    Case("webp, broken profile", of(SCENE, "WEBP", icc_profile=b"no", **EXACT), Goes()),
    Case("grey jpeg, RGB profile", of(GREY, "JPEG", **OTHER, **FINE), Goes(GREY)),
    # Files that tell who took them and where.
    Case("jpeg of a phone", photo, Goes(tolerance=3)),
    Case("jpeg in sRGB", lambda: photo(icc_profile=files.profile("sRGB")), Goes(tolerance=3)),
    Case("jpeg of a phone, other colours", lambda: photo(**OTHER), Goes(exchanged(SCENE))),
    Case("png that tells", lambda: png(**TEXTS) + XMP, Goes()),
    Case("png of 16 bits that tells", of(DEEP, "PNG", **TEXTS), Goes(GREY)),
    Case("webp that tells", of(SCENE, "WEBP", **TELLS, **EXACT), Goes()),
    Case("gif that tells", of(PALETTED, "GIF", comment=COMMENT), Goes(PALETTED)),
    Case("tiff that tells", of(SCENE, "TIFF", exif=GPS, description=files.GPS_MARK), Goes()),
    Case("mpo that tells", of(SCENE, "MPO", **TELLS, **FRAMES, **FINE), Goes()),
    Case("heic that tells", of(SCENE, "HEIF", **TELLS, **FINE), Goes(tolerance=10)),
    Case("avif that tells", of(SCENE, "AVIF", **TELLS, **FINE), Goes(tolerance=10)),
    # Orientations.
    *(
        Case(
            f"{kind}, orientation {n}",
            of(files.turned(n), kind, exif=exif(orientation=n), **FINE),
            Goes(tolerance=10),
        )
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")
        for n in (range(2, 10) if kind == "JPEG" else (6, 8))
    ),
]

WHOLE: dict[str, Make] = {
    "jpeg": lambda: jpeg(scene(200, 150)),
    "progressive jpeg": lambda: jpeg(scene(200, 150), progressive=True),
    "png": lambda: png(scene(200, 150)),
    "webp": lambda: encoded(scene(200, 150), "WEBP"),
    "webp with transparency": lambda: encoded(cut_out().resize((200, 150)), "WEBP"),
    "animated webp": lambda: encoded(noise(64, 48), "WEBP", **FRAMES, **EXACT),
    "gif": lambda: encoded(noise(80, 60).quantize(), "GIF"),
    "bmp": lambda: encoded(scene(80, 60), "BMP"),
    "tiff": lambda: encoded(noise(80, 60), "TIFF", compression="tiff_lzw"),
    "heic of tiles": lambda: encoded(noise(200, 150), "HEIF", tile_size=64),
    "avif": lambda: encoded(noise(80, 60), "AVIF"),
}
