"""A browser without a window for pages that a command wrote; installed from Debian where there is none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

DRIVER = "/usr/bin/chromedriver"
_PACKAGES = ("chromium", "chromium-driver")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


def install_browser() -> None:
    """Chromium and its driver, by apt; nothing where they are."""
    if shutil.which("chromium") and Path(DRIVER).exists():
        return
    install = ("install", "--quiet", "--yes", "--no-install-recommends", *_PACKAGES)
    for words in (("update", "--quiet"), install):
        subprocess.run(["apt-get", *words], check=True, capture_output=True, timeout=600)


@contextmanager
def browser(home: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Chrome]:
    """A browser with an empty profile in a folder of its own. dark: whether its user prefers a dark page."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*_FLAGS, f"--user-data-dir={home}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = Chrome(options=options, service=Service(DRIVER))
    try:
        # A window may not be as narrow as a telephone: its page may.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield opened
    finally:
        opened.quit()
