"""Take the README's picture: the report of fixtures/tp4_slow.sqlite, or another, in a headless Chromium.

usage: python scripts/screenshot.py [REPORT.html [PICTURE.png]]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from nsysan.page.png import find_browser

ROOT = Path(__file__).parent.parent
SIZE = "1280,1340"


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
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=15000"]
        options += [f"--window-size={SIZE}", f"--user-data-dir={scratch}/profile", f"--screenshot={picture.absolute()}"]
        subprocess.run([browser, *options, page.absolute().as_uri()], check=True, capture_output=True)
    print(f"wrote {picture}")


def _report(folder: Path) -> Path:
    page = folder / "report.html"
    trace = ROOT / "fixtures" / "tp4_slow.sqlite"
    subprocess.run([sys.executable, "-m", "nsysan", "report", str(trace), "-o", str(page), "-q"], cwd=ROOT, check=True)
    return page


if __name__ == "__main__":
    main()
