"""Pictures taken in at the same time: bounded, off the loop, and with nothing left behind."""

import asyncio
import base64
import hashlib
import io
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from PIL import Image

from app.errors import ImageDimensions, ImageTooLarge, ImageUrlInvalid, Overloaded
from app.images import ImageLimits, Intake
from app.images import intake as intake_module
from app.models import ImageInput
from tests.clock import settle
from tests.images.files import encoded, jpeg, png, scene, sent


@dataclass
class Gate:
    """A plan whose thread works until it is let go."""

    memory_bytes: int = 10
    started: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def finish(self) -> ImageInput:
        self.started.set()
        assert self.let_go.wait(30)
        return ImageInput(b"data:done", "0")


async def until(happened: Callable[[], bool]) -> None:
    """Threads tell of themselves by other means than the loop's, so they are asked."""
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.001)


@pytest.fixture
async def open_intake() -> AsyncIterator[Callable[..., Intake]]:
    opened: list[Intake] = []

    def open_one(**limits: int) -> Intake:
        opened.append(Intake(ImageLimits(**limits)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()
        assert one.inflight.used_bytes == 0


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Gate]:
    """Plans by body, in place of what looking at the body would give."""
    planned: dict[bytes, Gate] = {}
    monkeypatch.setattr(intake_module, "examine", lambda body, _limits: planned[bytes(body)])
    return planned


async def test_the_digest_is_of_the_bytes_as_sent(open_intake: Callable[..., Intake]) -> None:
    body = jpeg(comment=b"hello")
    taken = await open_intake().take_in(body)
    assert taken.digest == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_buffer_will_do(
    kind: Callable[[bytes], bytes | bytearray | memoryview], open_intake: Callable[..., Intake]
) -> None:
    for body in (png(), jpeg(scene(3000, 2000))):
        assert sent(await open_intake().take_in(kind(body)))


async def test_a_data_url_goes_the_way_of_uploads(open_intake: Callable[..., Intake]) -> None:
    intake = open_intake()
    for body in (png(), jpeg(scene(3000, 2000))):
        url = f"data:image/webp;base64,{base64.b64encode(body).decode()}"
        assert await intake.take_in_url(url) == await intake.take_in(body)


async def test_a_long_data_url_is_refused_as_an_upload_would_be(
    open_intake: Callable[..., Intake],
) -> None:
    url = "data:image/png;base64," + "A" * 100_000
    with pytest.raises(ImageTooLarge):
        await open_intake(max_bytes=70_000).take_in_url(url)


async def test_an_address_is_only_checked(open_intake: Callable[..., Intake]) -> None:
    intake = open_intake()
    assert (await intake.take_in_url("https://example.com/a")).url == b"https://example.com/a"
    with pytest.raises(ImageUrlInvalid):
        await intake.take_in_url("https://10.0.0.1/a")


async def test_limits_of_zero_are_none(open_intake: Callable[..., Intake]) -> None:
    intake = open_intake(
        max_bytes=0, max_pixels=0, max_side=0, workers=0, queue_max=0, inflight_max_bytes=0
    )
    body = png(scene(3000, 2000))
    assert sent(await intake.take_in(body)) == body
    arrived = Image.open(io.BytesIO(sent(await intake.take_in(encoded(scene(2500, 90), "BMP")))))
    assert arrived.size == (2500, 90)


async def test_pixels_are_bounded(open_intake: Callable[..., Intake]) -> None:
    with pytest.raises(ImageDimensions, match="at most 5000 pixels"):
        await open_intake(max_pixels=5000).take_in(png(scene(80, 70)))


async def test_a_picture_that_never_fits_the_budget_is_too_large(
    open_intake: Callable[..., Intake],
) -> None:
    body = png(scene(3000, 2000))
    with pytest.raises(ImageTooLarge, match="more memory"):
        await open_intake(inflight_max_bytes=20_000_000).take_in(body)


async def test_no_more_threads_work_than_allowed(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(workers=2, queue_max=1)
    gates |= {name: Gate() for name in (b"a", b"b", b"c")}
    first, second, third = (asyncio.create_task(intake.take_in(name)) for name in gates)
    await until(lambda: gates[b"a"].started.is_set() and gates[b"b"].started.is_set())
    await settle()
    assert not gates[b"c"].started.is_set()
    with pytest.raises(Overloaded, match="waiting"):
        await intake.take_in(b"d")
    for gate in gates.values():
        gate.let_go.set()
    await asyncio.gather(first, second, third)


async def test_one_job_waits_for_the_memory_of_another(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(inflight_max_bytes=100)
    gates |= {b"a": Gate(60), b"b": Gate(60)}
    first, second = (asyncio.create_task(intake.take_in(name)) for name in gates)
    await until(gates[b"a"].started.is_set)
    await settle()
    assert intake.inflight.used_bytes == 60
    assert not gates[b"b"].started.is_set()
    gates[b"a"].let_go.set()
    gates[b"b"].let_go.set()
    await asyncio.gather(first, second)


async def test_no_job_waits_for_bodies(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(inflight_max_bytes=100)
    gates[b"a"] = Gate(60)
    with intake.inflight.hold() as body:
        body.grow(41)
        with pytest.raises(Overloaded):
            await intake.take_in(b"a")


async def test_whoever_leaves_gives_memory_back_when_the_thread_is_done(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(workers=1)
    gate = gates[b"a"] = Gate(60)
    left = asyncio.create_task(intake.take_in(b"a"))
    await until(gate.started.is_set)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await settle()
    assert intake.inflight.used_bytes == 60
    gate.let_go.set()
    await until(lambda: intake.inflight.used_bytes == 0)


async def test_whoever_leaves_the_queue_frees_its_place(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(workers=1, queue_max=1)
    gates |= {b"a": Gate(), b"b": Gate()}
    working = asyncio.create_task(intake.take_in(b"a"))
    await until(gates[b"a"].started.is_set)
    waiting = asyncio.create_task(intake.take_in(b"b"))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    again = asyncio.create_task(intake.take_in(b"b"))
    gates[b"a"].let_go.set()
    gates[b"b"].let_go.set()
    await asyncio.gather(working, again)


async def test_a_failure_that_nobody_waits_for_is_no_noise(
    open_intake: Callable[..., Intake], monkeypatch: pytest.MonkeyPatch
) -> None:
    go, noise = threading.Event(), []

    def fail(_body: memoryview, _limits: ImageLimits) -> Gate:
        assert go.wait(30)
        raise Overloaded("full")

    monkeypatch.setattr(intake_module, "examine", fail)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: noise.append(what))
    intake = open_intake(workers=1)
    left = asyncio.create_task(intake.take_in(b"a"))
    await settle()
    left.cancel()
    go.set()
    await intake.close()
    await settle()
    asyncio.get_running_loop().set_exception_handler(None)
    assert not noise


async def test_a_job_that_is_cancelled_frees_its_turn(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake(workers=1)
    gates |= {b"a": Gate(), b"b": Gate()}
    first = asyncio.create_task(intake.take_in(b"a"))
    await until(gates[b"a"].started.is_set)
    (job,) = intake._jobs
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    for gate in gates.values():
        gate.let_go.set()
    await intake.take_in(b"b")


async def test_close_waits_for_the_pictures_under_way(
    open_intake: Callable[..., Intake], gates: dict[bytes, Gate]
) -> None:
    intake = open_intake()
    gate = gates[b"a"] = Gate()
    taking = asyncio.create_task(intake.take_in(b"a"))
    await until(gate.started.is_set)
    closing = asyncio.create_task(intake.close())
    await settle()
    assert not closing.done()
    gate.let_go.set()
    await closing
    assert (await taking).url == b"data:done"
