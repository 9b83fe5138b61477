"""Take the README's picture: the report of fixtures/tp4_slow.sqlite, or another, in a headless Chromium.

usage: python scripts/screenshot.py [REPORT.html [PICTURE.png]]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gallery import picture_of
from playwright.sync_api import sync_playwright

from nsysan.page.png import find_browser

ROOT = Path(__file__).parent.parent
SIZE = {"width": 1280, "height": 1340}


def main() -> None:
    """Render the report given, or make one, and save the top of its page."""
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / ".github" / "report.png"
    browser = find_browser()
    if browser is None:
        sys.exit("screenshot: no browser on PATH, and NSYSAN_BROWSER names none")
    picture.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else _report(Path(scratch))
        if not page.is_file():
            sys.exit(f"screenshot: {page}: no such file")
        with sync_playwright() as driver:
            chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            # A page says when all that is in view is drawn; by a time that passes on its own it might never be.
            picture_of(chromium, page, picture, SIZE)
            chromium.close()
    print(f"wrote {picture}")


def _report(folder: Path) -> Path:
    page = folder / "report.html"
    trace = ROOT / "fixtures" / "tp4_slow.sqlite"
    subprocess.run([sys.executable, "-m", "nsysan", "report", str(trace), "-o", str(page), "-q"], cwd=ROOT, check=True)
    return page


if __name__ == "__main__":
    main()
