"""A page that nsysan wrote, and nobody changed, makes room for the next; anything else stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsysan import ExitCode, NsysanError
from nsysan.output import own_page, signed, write_text

PAGE = signed("<html>one</html>\n")


def test_its_own_page_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    for page in (PAGE, signed("<html>two</html>\n")):
        write_text(path, page, force=False)
        assert path.read_text("utf-8") == page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "mine",
        PAGE + "\n",
        PAGE.replace("one", "won"),
        "mine " + PAGE,
        PAGE[:-1],
        PAGE.replace("\n", "\r\n"),
        PAGE[PAGE.index("<!--") :] + PAGE,
    ],
)
def test_anything_else_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.html"
    path.write_bytes(content.encode())
    with pytest.raises(NsysanError) as refused:
        write_text(path, PAGE, force=False)
    assert refused.value.exit_code == ExitCode.OUTPUT_EXISTS
    assert path.read_bytes() == content.encode()
    write_text(path, PAGE, force=True)


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE, "utf-8")
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    assert own_page(tmp_path / "page.html")
    with pytest.raises(NsysanError):
        write_text(tmp_path / "link.html", PAGE, force=False)
