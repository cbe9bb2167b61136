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


_CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => {
  const part = (each) => (each / 255 <= 0.03928 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  const isText = walker.currentNode.textContent.trim() && node.getClientRects().length;
  if (!isText || node.closest("script, style, title, .hidden, .skip, .md-skip")) continue;
  const style = getComputedStyle(node);
  const inDrawing = node.namespaceURI.endsWith("svg");
  if (inDrawing && node.closest(".step.failed")) continue;
  const [a, b] = [light(parse(inDrawing ? style.fill : style.color)), light(behind(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${node.outerHTML.slice(0, 120)}`);
}
return found;
"""


def faint_texts(driver: Chrome) -> list[str]:
    """Texts whose contrast with what is behind them is below 4.5, as WCAG's level AA wants it."""
    return driver.execute_script(_CONTRAST)
