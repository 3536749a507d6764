from dataclasses import replace

from simulator import gallery
from simulator.images import Images
from simulator.pictures import PICTURES
from tests.simulator.asking import QUICK, data_url, desk, found, question


def test_every_picture_comes_first_after_scaling_and_compression() -> None:
    images = Images()
    for picture in PICTURES:
        for scale in (0.5, 1.0, 2.0):
            seen = images.take_in(data_url(picture.name, scale=scale, quality=40))
            assert gallery.nearest(seen.vector, 1) == [picture], (picture.name, scale)


def test_names_and_titles_are_unique_and_the_gallery_is_large_enough() -> None:
    assert len(PICTURES) >= 40
    assert len({picture.name for picture in PICTURES}) == len(PICTURES)
    assert len({picture.title for picture in PICTURES}) == len(PICTURES)


def test_no_two_pictures_are_drawn_alike() -> None:
    assert len({gallery.jpeg(picture.name) for picture in PICTURES}) == len(PICTURES)


async def test_result_links_open_and_show_the_picture_that_was_sent() -> None:
    async with desk() as at:
        answer = await at.ask(question("Alike?", "watermelon"))
        best = found(answer.json())[0]
        assert best["index"] == 1
        picture = await at.client.get(best["url"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content == gallery.jpeg("watermelon")


async def test_the_index_page_shows_every_picture() -> None:
    async with desk() as at:
        page = await at.client.get(f"{at.url}/gallery/")
    assert all(f'src="{picture.name}.jpg"' in page.text for picture in PICTURES)


async def test_an_unknown_picture_is_not_found() -> None:
    async with desk() as at:
        assert (await at.client.get(f"{at.url}/gallery/nothing.jpg")).status_code == 404


async def test_links_use_the_public_address_when_there_is_one() -> None:
    async with desk(replace(QUICK, public_url="https://pictures.example")) as at:
        answer = await at.ask(question())
    assert found(answer.json())[0]["url"].startswith("https://pictures.example/gallery/")
