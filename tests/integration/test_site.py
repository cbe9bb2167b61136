"""The documentation's site as a browser shows it from a folder: two schemes, a telephone, the search."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser, faint_texts, install_browser
from projects import ROOT
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.nightly
FOUND = """
const roots = [...document.querySelectorAll("div")].map((each) => each.shadowRoot).filter(Boolean);
return roots.flatMap((root) => [...root.querySelectorAll("a")].map((link) => link.href)).join(" ");
"""
"""The links of the search's results, which are in a tree of their own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    install_browser()
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    tool = shutil.which("zensical", path=str(Path(sys.executable).parent))
    assert tool, "the session installs the group `docs`"
    subprocess.run([tool, "build", "--strict"], cwd=folder, check=True, capture_output=True, timeout=120)
    return folder / ".nox/site"


def test_pages_open_from_a_folder_in_both_schemes_and_are_found(site: Path, tmp_path: Path) -> None:
    with browser(tmp_path / "light") as light:
        light.get((site / "index.html").as_uri())
        bright = light.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        assert faint_texts(light) == []
        light.find_element(By.CSS_SELECTOR, ".md-search__button").click()
        light.switch_to.active_element.send_keys("SnapStart")
        WebDriverWait(light, 30).until(lambda driver: "#snapstart" in driver.execute_script(FOUND))
        assert light.get_log("browser") == []

    with browser(tmp_path / "dark", width=400, dark=True) as dark:
        for name in ("index", "tutorial", "commands", "settings", "rules", "compare", "benchmark"):
            dark.get((site / f"{name}.html").as_uri())
            assert dark.find_element(By.TAG_NAME, "body").value_of_css_property("background-color") != bright
            assert dark.execute_script("return document.documentElement.scrollWidth") <= 400, name
            assert faint_texts(dark) == [], name
        assert dark.get_log("browser") == []
