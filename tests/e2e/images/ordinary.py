"""Pictures as cameras, browsers and editors make them: formats, modes, orientations, colours."""

from PIL import Image

from tests.e2e.images.files import (
    Case,
    Goes,
    animated_webp,
    cut_out,
    encoded,
    exif,
    gif_frames,
    grey,
    jpeg,
    paletted,
    png,
    scene,
    swapped_profile,
    ten_bit_heic,
    turned,
    webp_frame,
)
from tests.e2e.images.samples import ARITHMETIC_JPEG, TEN_BIT_AVIF


def corner() -> Image.Image:
    return scene().crop((32, 24, 64, 48))


def in_the_corner() -> Image.Image:
    """One quarter of the scene in its place, and nothing else."""
    white = Image.new("RGB", (64, 48), "white")
    white.paste(corner(), (32, 24))
    return white


def deep() -> Image.Image:
    return grey().convert("I").point(lambda level: level * 257).convert("I;16")


def transparent_palette() -> bytes:
    image = cut_out().quantize(64)
    return encoded(image, "PNG")


def halves(right: tuple[int, int, int], height: int = 192) -> Image.Image:
    """White beside a colour."""
    image = Image.new("RGB", (256, height), "white")
    image.paste(right, (128, 0, 256, height))
    return image


FORMATS = [
    Case("a clean jpeg", jpeg, Goes(same=True, tolerance=3)),
    Case("a progressive jpeg", lambda: jpeg(progressive=True), Goes(same=True, tolerance=3)),
    Case("a clean png", png, Goes(same=True, tolerance=0)),
    Case("an interlaced png", lambda: png(interlace=1), Goes(same=True, tolerance=0)),
    Case("a webp", lambda: encoded(scene(), "WEBP", quality=95), Goes(tolerance=8)),
    Case("a lossless webp", lambda: encoded(scene(), "WEBP", lossless=True), Goes()),
    Case(
        "an animated webp",
        lambda: encoded(
            scene(),
            "WEBP",
            save_all=True,
            append_images=[Image.new("RGB", (64, 48))],
            lossless=True,
        ),
        Goes(),
    ),
    Case(
        "an animated webp whose first frame is a part of it",
        lambda: animated_webp((64, 48), webp_frame(corner(), (32, 24)), webp_frame(scene())),
        Goes(in_the_corner),
    ),
    Case(
        "an animated webp whose first frame is transparent",
        lambda: animated_webp((64, 48), webp_frame(cut_out(), quality=95, lossless=False)),
        Goes(cut_out, tolerance=8),
    ),
    Case("a gif", lambda: encoded(paletted(), "GIF"), Goes(paletted)),
    Case("a gif of two frames", lambda: gif_frames(2), Goes(paletted)),
    Case("a bmp", lambda: encoded(scene(), "BMP"), Goes()),
    Case("a tiff", lambda: encoded(scene(), "TIFF"), Goes()),
    Case("a tiff of lzw strips", lambda: encoded(scene(), "TIFF", compression="tiff_lzw"), Goes()),
    Case(
        "a tiff with a jpeg inside",
        lambda: encoded(scene(), "TIFF", compression="jpeg", quality=95),
        Goes(tolerance=8),
    ),
    Case("a big tiff", lambda: encoded(scene(), "TIFF", big_tiff=True), Goes()),
    Case("a heic", lambda: encoded(scene(), "HEIF", quality=95), Goes(tolerance=10)),
    Case("an avif", lambda: encoded(scene(), "AVIF", quality=95), Goes(tolerance=10)),
    Case(
        "an apng",
        lambda: png(save_all=True, append_images=[Image.new("RGB", (64, 48))]),
        Goes(tolerance=0),
    ),
]

RARE = [
    Case(
        "avif of 10 bits",
        lambda: TEN_BIT_AVIF,
        Goes(lambda: halves((75, 75, 75)), scaled=True, tolerance=8),
    ),
    Case(
        "jpeg of arithmetic codes",
        lambda: ARITHMETIC_JPEG,
        Goes(lambda: halves((199, 60, 29), 256), scaled=True, tolerance=8),
    ),
    Case(
        "heic of tiles",
        lambda: encoded(scene(), "HEIF", quality=95, tile_size=32),
        Goes(tolerance=10),
    ),
    Case(
        "heic of 10 bits in 4:2:2, as Canon's",
        lambda: ten_bit_heic(chroma=422),
        Goes(tolerance=10),
    ),
    Case(
        "mpo, as of cameras with two lenses",
        lambda: encoded(scene(), "MPO", quality=92, save_all=True, append_images=[grey()]),
        Goes(tolerance=6),
    ),
]

MODES = [
    Case("png 1", lambda: png(scene().convert("1")), Goes(lambda: scene().convert("1"), same=True)),
    Case("png L", lambda: png(grey()), Goes(grey, same=True)),
    Case(
        "png LA",
        lambda: png(cut_out().convert("LA")),
        Goes(lambda: cut_out().convert("LA"), same=True),
    ),
    Case("png P", lambda: png(paletted()), Goes(paletted, same=True)),
    Case("png P, transparent", transparent_palette, Goes(cut_out, same=True)),
    Case("png RGBA", lambda: png(cut_out()), Goes(cut_out, same=True)),
    Case("png 16-bit", lambda: png(deep()), Goes(grey)),
    Case("png 16-bit, large", lambda: png(deep().resize((640, 480))), Goes(grey, scaled=True)),
    Case("jpeg L", lambda: jpeg(grey()), Goes(grey, same=True)),
    Case("jpeg CMYK", lambda: jpeg(scene().convert("CMYK")), Goes()),
    Case("gif with a transparent colour", lambda: encoded(cut_out(), "GIF"), Goes(cut_out)),
    Case(
        "bmp 1",
        lambda: encoded(scene().convert("1"), "BMP"),
        Goes(lambda: scene().convert("1"), tolerance=25),
    ),
    Case(
        "tiff 1",
        lambda: encoded(scene().convert("1"), "TIFF"),
        Goes(lambda: scene().convert("1"), tolerance=25),
    ),
    Case(
        "tiff LA",
        lambda: encoded(cut_out().convert("LA"), "TIFF"),
        Goes(lambda: cut_out().convert("LA")),
    ),
    Case("tiff P", lambda: encoded(paletted(), "TIFF"), Goes(paletted)),
    Case("tiff RGBA", lambda: encoded(cut_out(), "TIFF"), Goes(cut_out)),
    Case("tiff CMYK", lambda: encoded(scene().convert("CMYK"), "TIFF"), Goes()),
    Case("tiff YCbCr", lambda: encoded(scene().convert("YCbCr"), "TIFF"), Goes()),
    Case("tiff 16-bit", lambda: encoded(deep(), "TIFF"), Goes(grey)),
    Case("webp RGBA", lambda: encoded(cut_out(), "WEBP", lossless=True), Goes(cut_out)),
    Case(
        "webp RGBA, lossy",
        lambda: encoded(cut_out(), "WEBP", quality=95),
        Goes(cut_out, tolerance=8),
    ),
    Case(
        "webp RGBA, large",
        lambda: encoded(cut_out().resize((1000, 750)), "WEBP", quality=95),
        Goes(cut_out, scaled=True, tolerance=8),
    ),
    Case("avif RGBA", lambda: encoded(cut_out(), "AVIF", quality=95), Goes(cut_out, tolerance=10)),
    Case("heic RGBA", lambda: encoded(cut_out(), "HEIF", quality=95), Goes(cut_out, tolerance=10)),
    Case("heic L", lambda: encoded(grey(), "HEIF", quality=95), Goes(grey, tolerance=10)),
]

TURNED = [
    *(
        Case(
            f"jpeg, orientation {n}",
            lambda n=n: jpeg(  # type: ignore[misc]  # binds the number
                turned(n), exif=exif(orientation=n, gps=True)
            ),
            Goes(),
        )
        for n in range(1, 9)
    ),
    Case("png, orientation 6", lambda: png(turned(6), exif=exif(orientation=6)), Goes()),
    Case(
        "webp, orientation 8",
        lambda: encoded(turned(8), "WEBP", lossless=True, exif=exif(orientation=8)),
        Goes(),
    ),
    Case(
        "webp, orientation 6, lossy",
        lambda: encoded(turned(6), "WEBP", quality=95, exif=exif(orientation=6)),
        Goes(tolerance=8),
    ),
    Case("tiff, orientation 5", lambda: encoded(turned(5), "TIFF", tiffinfo={274: 5}), Goes()),
    Case(
        "heic, orientation 6",
        lambda: encoded(turned(6), "HEIF", quality=95, exif=exif(orientation=6)),
        Goes(tolerance=10),
    ),
    Case(
        "avif, orientation 3",
        lambda: encoded(turned(3), "AVIF", quality=95, exif=exif(orientation=3)),
        Goes(tolerance=10),
    ),
    Case("jpeg, orientation 9", lambda: jpeg(exif=exif(orientation=9)), Goes(tolerance=3)),
]


def exchanged(image: Image.Image) -> Image.Image:
    """Red for blue, and blue for red."""
    red, green, blue, *alpha = image.split()
    return Image.merge(image.mode, (blue, green, red, *alpha))


COLOURS = [
    Case(
        "jpeg with another profile",
        lambda: jpeg(exchanged(scene()), icc_profile=swapped_profile()),
        Goes(),
    ),
    Case(
        "png with another profile",
        lambda: png(exchanged(scene()), icc_profile=swapped_profile()),
        Goes(),
    ),
    Case(
        "webp with a broken profile",
        lambda: encoded(scene(), "WEBP", lossless=True, icc_profile=b"not a profile"),
        Goes(),
    ),
    Case(
        "webp with transparency and another profile",
        lambda: encoded(exchanged(cut_out()), "WEBP", lossless=True, icc_profile=swapped_profile()),
        Goes(cut_out),
    ),
    Case(
        "avif with another profile",
        lambda: encoded(exchanged(scene()), "AVIF", quality=95, icc_profile=swapped_profile()),
        Goes(tolerance=10),
    ),
    Case(
        "grey jpeg with an RGB profile",
        lambda: jpeg(grey(), icc_profile=swapped_profile()),
        Goes(grey),
    ),
]
