# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The page in a real browser: what is seen is what was received."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from command import TIMEOUT
from playwright.sync_api import Browser, Page, expect, sync_playwright

from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.inspect import Inspector
from praxis_remote.testing import RecordingHandler

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]

expect.set_options(timeout=TIMEOUT * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        reason = f"there is none of {', '.join(PROGRAMS)}"
        if os.environ.get("CI_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a visitor of its own, which must have nothing to complain of."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    context.set_default_timeout(TIMEOUT * 1000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    context.close()
    # A login form's status is one that browsers complain of.
    assert [text for text in complaints if " 401 " not in text and " 403 " not in text] == []


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    with Inspector() as inspector:
        yield inspector


def show(inspector: Inspector, observation: Any, episode: str = "a", **kwargs: Any) -> None:
    """Has the page show an observation."""
    policy = inspector.watch(RecordingHandler(lambda _: np.arange(14.0).reshape(1, 2, 7)))
    policy.predict_action([observation], policy_kwargs=kwargs, episode_ids=(episode,))


def image(key: str) -> str:
    """Returns the selector of an image that is there."""
    return f"figure[aria-busy=false][data-key={json.dumps(key)}]"


def pixels(page: Page, key: str) -> Any:
    """Returns what the page has of an image, read back through a canvas."""
    read = """figure => {
        const image = figure.querySelector("img");
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.height, canvas.width, Array.from(data)];
    }"""
    height, width, data = page.locator(image(key)).evaluate(read)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def random_image(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


FRONT, WRIST = "observation.images.front", "observation.images.wrist"


def test_the_pixels_that_a_client_sends_are_those_on_the_page(
    page: Page, inspector: Inspector
) -> None:
    front, wrist = random_image(24, 32, 3), random_image(20, 16, 3)
    chw = np.ascontiguousarray(wrist.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    with (
        PolicyServer(inspector.watch(RecordingHandler()), port=0) as server,
        PolicyClient("localhost", server.port, timeout=TIMEOUT) as client,
    ):
        observations = [{FRONT: front, WRIST: chw}, {FRONT: front[::-1]}]
        client.predict_action(observations, episode_ids=["left-arm", "right-arm"])
    page.goto(inspector.url)
    expect(page.locator("nav .label")).to_have_text(["left-arm", "right-arm"])
    np.testing.assert_array_equal(pixels(page, FRONT), front)
    np.testing.assert_array_equal(pixels(page, WRIST), wrist)
    expect(page.locator(image(WRIST))).to_contain_text("(3, 20, 16) float32, taken as CHW")
    page.locator("nav").get_by_text("right-arm").click()
    expect(page.locator("#head h2")).to_have_text("right-arm")
    expect(page.locator("figure")).to_have_count(1)
    np.testing.assert_array_equal(pixels(page, FRONT), front[::-1])


def test_swapped_channels_are_seen_at_a_click_or_a_key(page: Page, inspector: Inspector) -> None:
    front, wrist = random_image(8, 8, 3), random_image(9, 9, 3)
    show(inspector, {FRONT: front, WRIST: wrist})
    page.goto(inspector.url)
    figure = page.locator(image(FRONT))
    expect(figure.locator(".order")).to_have_text("as received: R, G, B")
    figure.get_by_role("button").click()
    expect(figure.locator(".order")).to_have_text("shown swapped: as B, G, R")
    np.testing.assert_array_equal(pixels(page, FRONT), front[..., ::-1])
    np.testing.assert_array_equal(pixels(page, WRIST), wrist)
    page.keyboard.press("s")
    expect(page.locator("#swap-all")).to_have_attribute("aria-pressed", "true")
    np.testing.assert_array_equal(pixels(page, FRONT), front)
    np.testing.assert_array_equal(pixels(page, WRIST), wrist[..., ::-1])


def test_an_empty_page_says_what_to_do_and_fills_by_itself(
    page: Page, inspector: Inspector
) -> None:
    page.goto(inspector.url)
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#empty")).to_contain_text("Call the policy server")
    show(inspector, {FRONT: random_image(8, 8, 3), "n": 1}, temperature=0.5)
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#kwargs")).to_contain_text('"temperature": 0.5')
    expect(page.locator("#action svg")).to_have_count(7)
    newer = random_image(8, 9, 3)
    show(inspector, {FRONT: newer, "n": 2})
    expect(page.locator(image(FRONT))).to_contain_text("(8, 9, 3)")
    np.testing.assert_array_equal(pixels(page, FRONT), newer)
    expect(page.locator("#values svg")).to_have_count(1)


def test_a_camera_that_stands_still_is_flagged(page: Page, inspector: Inspector) -> None:
    frozen = random_image(16, 16, 3)
    for step in range(4):
        show(inspector, {FRONT: frozen, WRIST: np.roll(frozen, step)})
    page.goto(inspector.url)
    expect(page.locator(image(FRONT)).locator(".flag")).to_have_text("stale: the same for 4 steps")
    expect(page.locator(image(WRIST)).locator(".flag")).to_have_count(0)
    expect(page.locator("nav .flag")).to_have_text("stale")


def test_text_that_is_html_stays_text(page: Page, inspector: Inspector) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${alert(3)}</h3>"
    observation = {
        evil: 1,
        f"observation.images.{evil}": random_image(8, 8, 3),
        "array" + evil: np.zeros(3),
        "task": evil,
    }
    show(inspector, observation, evil, **{evil: [evil]})
    page.goto(inspector.url)
    expect(page.locator("nav .label")).to_have_text(evil)
    expect(page.locator("figure h3")).to_have_text(evil)
    expect(page.locator("#values .text")).to_have_text(evil)
    expect(page.locator("#kwargs pre")).to_contain_text("alert(2)")
    expect(page.locator("script")).to_have_count(1)
    expect(page.locator("img")).to_have_count(1)


def test_odd_arrays_are_shown(page: Page, inspector: Inspector) -> None:
    observation = {
        "nan": np.array([1.0, np.nan, -np.inf]),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5),
        "large": np.arange(10**6),
        "big": 2**62,
        "yes": True,
        "none": "",
        "image.over": np.linspace(-1, 3, 8 * 8 * 3).reshape(8, 8, 3),
        "image.gray": random_image(8, 8, 1),
        "image.alpha": random_image(8, 8, 4),
        "depth": np.linspace(0.4, 4, 8 * 8).reshape(8, 8),
    }
    for _ in range(2):
        show(inspector, observation)
    page.goto(inspector.url)
    for key in ("image.over", "image.gray", "image.alpha", "depth"):
        assert pixels(page, key).shape == (8, 8, 3)
    np.testing.assert_array_equal(pixels(page, "image.alpha"), observation["image.alpha"][..., :3])
    expect(page.locator(image("image.over")).locator(".flag")).to_contain_text("outside [0, 1]")
    expect(page.locator(image("depth"))).to_contain_text("stretched from min to max")
    values = page.locator("#values")
    for text in ("nan", "-inf", "2 NaN or infinite", "empty", "2.5", str(2**62), "true"):
        expect(values).to_contain_text(text)
    expect(values).to_contain_text("the first 64 of 1000000 values")


def test_the_keyboard_moves_among_many_episodes_and_pauses(
    page: Page, inspector: Inspector
) -> None:
    for number in range(70):
        show(inspector, {"n": number}, f"episode-{number}")
    page.goto(inspector.url)
    title = page.locator("#head h2")
    expect(title).to_have_text("episode-6")
    expect(page.locator("nav li")).to_have_count(64)
    for key, name in (("j", 7), ("ArrowDown", 8), ("k", 7), ("ArrowUp", 6), ("ArrowUp", 6)):
        page.keyboard.press(key)
        expect(title).to_have_text(f"episode-{name}")
    page.keyboard.press("p")
    expect(page.locator("#connection")).to_have_text("paused")
    show(inspector, {"n": "while it pauses"}, "episode-6")
    page.keyboard.press("p")
    expect(page.locator("#values")).to_contain_text("while it pauses")


def test_a_wrong_token_sees_nothing_and_the_right_one_everything(page: Page) -> None:
    with Inspector(tokens=["right"]) as inspector:
        show(inspector, {FRONT: random_image(8, 8, 3)}, "secret")
        page.goto(inspector.url)
        for token in ("wrong", "right"):
            expect(page.get_by_label("Token")).to_be_focused()
            assert "secret" not in page.content()
            page.keyboard.type(token)
            page.keyboard.press("Enter")
        expect(page.locator("#head h2")).to_have_text("secret")
        assert page.url == inspector.url
        assert pixels(page, FRONT).shape == (8, 8, 3)
        assert page.evaluate("document.cookie") == ""


def test_a_link_with_the_token_leads_in_and_leaves_it_behind(page: Page) -> None:
    with Inspector(tokens=["right"]) as inspector:
        show(inspector, {"x": 1}, "secret")
        page.goto(f"{inspector.url}?token=right")
        expect(page.locator("#head h2")).to_have_text("secret")
        assert page.url == inspector.url
