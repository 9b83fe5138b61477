"""Take the README's picture: a report of a real trace in a headless Chromium.

usage: python scripts/screenshot.py [REPORT.html] [PICTURE.png]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SIZE = "1280,1340"


def main() -> None:
    """Render the report given, or that of the demo, and save the top of the page."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "report.html"
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / ".github" / "report.png"
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("screenshot: no Chromium on PATH")
    picture.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=15000"]
        options += [f"--window-size={SIZE}", f"--user-data-dir={profile}", f"--screenshot={picture.absolute()}"]
        subprocess.run([browser, *options, page.absolute().as_uri()], check=True, capture_output=True)
    print(f"wrote {picture}")


if __name__ == "__main__":
    main()
