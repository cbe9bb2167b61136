"""The report of real runs: its content, and its page as a browser shows it."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from browser import browser, faint_texts, install_browser
from projects import Done, Repo
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

TABS = 60
FOCUSED = """
const at = document.activeElement;
return [at.tagName.toLowerCase(), at.getAttribute("class") || "", at.getAttribute("aria-label") || ""];
"""


@pytest.fixture(scope="session")
def chromium() -> None:
    install_browser()


@pytest.fixture
def runs(tiny: Repo) -> tuple[Repo, Done, Done]:
    """A first build, a build after an edit, and a build of nothing: the results of the last two."""
    tiny.append("dockerfiles/lambda-tiny/Dockerfile", "COPY --link src/tables.json /var/task/\n")
    tiny.write("src/tables.json", f'"{secrets.token_hex()}"\n')
    for name in ("dynamo", "label", "handler"):
        tiny.append(f"src/{name}.py", f"# {secrets.token_hex()}, of which no cache knows\n")
    assert tiny.ok("build-all", "--json").json["saved"] is None
    tiny.append("src/handler.py", "# edited\n")
    return tiny, tiny.ok("build-all", "--append", "never"), tiny.ok("build-all", "--json")


def test_a_report_names_steps_reasons_and_savings(runs: tuple[Repo, Done, Done]) -> None:
    repo, edited, unchanged = runs
    assert edited.stdout.splitlines()[-1].startswith("saved ")
    assert edited.stdout.endswith(" against the last cold build of these images\n")
    assert unchanged.json["saved"]["seconds"] > 0
    assert unchanged.json["saved"]["bytes"] > 0

    listed = repo.ok("report", "--list", "--json").json["runs"]
    assert [(each["counts"], each["complete"]) for each in listed] == [
        ({"skipped": 3}, True),
        ({"skipped": 2, "built": 1}, True),
        ({"built": 3}, True),
    ]
    nothing, edit, cold = (each["id"] for each in listed)

    assert "0 built, 3 skipped in " in repo.ok("report").stdout
    assert repo.ok("report", "--json").json["run"]["id"] == nothing

    told = repo.ok("report", "--run", edit, "--json").json
    assert [(each["instruction"].split()[2], each["result"], each["why"]) for each in told["steps"]] == [
        ("src/handler.py", "ran", "src/handler.py modified"),
        ("src/tables.json", "cached", None),
    ]
    assert (told["cached"], told["asked"]) == (1, 2)
    assert told["critical_path"][-1]["step"] == "exporting to image"
    assert told["images"][-1]["saved"]["bytes"] > 0

    told = repo.ok("report", "--run", cold, "--json").json
    assert {each["result"] for each in told["steps"]} == {"ran"}
    assert (told["saved"], told["cached"], told["asked"]) == (None, 0, 4)
    assert f"{cold}" in repo.fails(3, "report", "--run", cold[:-6] + "zzzzzz").stderr


def test_the_page_shows_the_report(chromium: None, runs: tuple[Repo, Done, Done], tmp_path: Path) -> None:
    repo, _, _ = runs
    edit = repo.ok("report", "--list", "--json").json["runs"][1]["id"]
    page = Path(repo.ok("report", "--run", edit, "--html").stdout.strip())
    assert page == repo.root / ".lamina/report.html"

    with browser(tmp_path / "light") as light:
        light.get(page.as_uri())
        assert light.title == "1 image built, 2 skipped · Lamina"
        for wanted in (
            "h1",
            ".figures .value",
            ".timeline .step.ran",
            ".timeline .step.cached",
            ".cell.cached",
        ):
            assert light.find_elements(By.CSS_SELECTOR, wanted), wanted
        for name in ("timeline", "steps", "images", "path", "slowest", "history"):
            assert light.find_element(By.CSS_SELECTOR, f"#{name} h2").is_displayed()
        assert "src/handler.py modified" in light.find_element(By.ID, "steps").text
        bar, button = walk(light)
        assert "COPY --link src/handler.py" in bar or "COPY --link src/tables.json" in bar
        assert button.startswith("Copy the digest of ")
        copies(light)
        bright = light.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        assert faint_texts(light) == []
        assert light.get_log("browser") == []

    with browser(tmp_path / "dark", width=400, dark=True) as dark:
        dark.get(page.as_uri())
        assert dark.find_element(By.TAG_NAME, "body").value_of_css_property("background-color") != bright
        fits_and_is_legible(dark)


def test_a_page_of_all_runs_and_one_of_a_run_of_nothing(
    chromium: None, runs: tuple[Repo, Done, Done], tmp_path: Path
) -> None:
    repo, _, _ = runs
    nothing = Path(repo.ok("report", "--html", "nothing.html").stdout.strip())
    every = Path(repo.ok("report", "--list", "--html", "every.html").stdout.strip())

    for dark in (False, True):
        with browser(tmp_path / f"{dark}", width=400, dark=dark) as driver:
            driver.get(nothing.as_uri())
            assert [each.text for each in driver.find_elements(By.CSS_SELECTOR, "main h2")] == [
                *("Images", "Slowest steps", "Trends", "History"),
            ]
            fits_and_is_legible(driver)

            driver.get(every.as_uri())
            assert driver.title == "3 runs · Lamina"
            last, edit, cold = driver.find_elements(By.CSS_SELECTOR, "details.run > summary")
            assert "Nothing to build: 3 images up to date" in last.text
            assert "3 images built" in cold.text
            edit.send_keys(Keys.ENTER)
            assert driver.find_element(
                By.CSS_SELECTOR, "details.run[open] .timeline .step.ran"
            ).is_displayed()
            assert driver.find_elements(By.CSS_SELECTOR, "#trends .spark rect.last")
            fits_and_is_legible(driver)


def fits_and_is_legible(driver: Chrome) -> None:
    driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert driver.execute_script("return document.documentElement.scrollWidth") == 400
    assert faint_texts(driver) == []
    assert driver.get_log("browser") == []


def walk(driver: Chrome) -> tuple[str, str]:
    """Go through the page by Tab alone: the labels of the first bar and the first button."""
    bar = button = ""
    for _ in range(TABS):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        name, kind, label = driver.execute_script(FOCUSED)
        if name == "g" and not bar:
            bar = label
            tip = driver.find_element(By.CSS_SELECTOR, ".tip")
            assert tip.is_displayed()
            assert tip.text == label
        if name == "button" and "copy" in kind:
            button = label
            break
    return bar, button


def copies(driver: Chrome) -> None:
    """Press the button that has the focus: the digest is copied, or at least selected."""
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    script = "return document.querySelector('#said').textContent"
    for _ in range(20):
        if told := driver.execute_script(script):
            break
    assert told in {"The digest is copied.", "The digest is selected: copy it with Ctrl+C."}
