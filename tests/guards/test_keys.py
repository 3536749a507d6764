import pytest

from app.guards.keys import ClientKeys, parse_client_keys


def test_keys_are_read_with_their_names() -> None:
    keys = parse_client_keys(" shop:a:b , blog:c,, shop:d ,")
    assert [keys.find(key) for key in ("a:b", "c", "d", "a")] == ["shop", "blog", "shop", None]
    assert keys.any
    assert not parse_client_keys(" ").any


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("canary", "entry 1 must be name:key"),
        ("shop:", "entry 1 must be name:key"),
        (":canary", "entry 1 must be name:key"),
        ("shop:a,b log:canary", "entry 2 must be name:key"),
        ("shop:can ary", "entry 1 must be name:key"),
        ("shop:canaryé", "entry 1 must be name:key"),
        ("anonymous:canary", "anonymous is the name of callers without a key"),
        ("shop:canary,blog:canary", "shop and blog must not share a key"),
    ],
)
def test_bad_keys_are_refused_in_a_sentence_without_them(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^CLIENT_KEYS: .*{reason}") as refused:
        parse_client_keys(text)
    assert "canary" not in str(refused.value)


def test_a_key_finds_its_client_and_nothing_else_does() -> None:
    keys = ClientKeys([("shop", "one"), ("blog", "two"), ("shop", "three")])
    found = {key: keys.find(key) for key in ("one", "two", "three", "on", "one ", "", "\udc80")}
    assert found == {
        "one": "shop",
        "two": "blog",
        "three": "shop",
        "on": None,
        "one ": None,
        "": None,
        "\udc80": None,
    }


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return known == given

    monkeypatch.setattr("app.guards.keys.hmac.compare_digest", compare)
    keys = ClientKeys([("shop", "one"), ("blog", "two"), ("wiki", "three")])
    assert keys.find("one") == "shop"
    assert len(compared) == 3
    assert {len(part) for pair in compared for part in pair} == {32}


def test_keys_are_not_kept_as_written() -> None:
    keys = ClientKeys([("shop", "canary-key")])
    assert "canary-key" not in repr(vars(keys))
    assert ClientKeys([("shop", "canary-key")])._owners != keys._owners
