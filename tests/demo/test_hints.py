"""The commands that are printed at the end."""

import shlex
from pathlib import Path

import pytest

from demo.hints import Site, commands

UPLOAD = Path("/tmp/a folder/it's.jpg")


@pytest.mark.parametrize("gallery", ["", "http://127.0.0.1:9000/gallery/"])
def test_there_are_three_and_a_shell_can_read_them(gallery: str) -> None:
    site = Site(service="http://127.0.0.1:8000", gallery=gallery, upload=UPLOAD)
    words = [shlex.split(command) for _, command in commands(site)]
    assert [each[0] for each in words] == ["curl"] * 3
    assert all(any(word.startswith(site.service) for word in each) for each in words)
    assert f"image=@{UPLOAD}" in words[0]


def test_the_stand_in_s_pictures_are_not_asked_of_the_real_upstream() -> None:
    site = Site(service="http://127.0.0.1:8000", gallery="", upload=UPLOAD)
    assert "gallery.example" not in str(commands(site))
