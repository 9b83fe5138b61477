"""The part of plotly.js that pages carry: what their charts need is in it, the rest is not."""

from __future__ import annotations

import pytest
from plotly.offline import get_plotlyjs

from nsysan.page.plotly_parts import KINDS, used_parts

#: Built as esbuild builds plotly.js: two kinds of charts by themselves, the others told in the module they pass on.
HEAD = "var W=(e,t)=>()=>{try{return t||e((t={exports:{}}).exports,t),t.exports}catch(r){throw t=0,r}};"
KIND = 'var {own}=W((e,t)=>{{t.exports={{moduleType:"trace",name:"{kind}",calc:{needs}()}}}});'


def script(*kinds: str, fill: int = 20) -> str:
    """One module a kind, and `fill` of other kinds; each needs a module of its own, and a shared one."""
    named = [*kinds, *(f"other{i}" for i in range(fill))]
    text = HEAD + 'var core=W((e,t)=>{e.brace="}{";e.odd=/[}/]/;e.note=`${"}"}`});function plain(){return core()}'
    for number, kind in enumerate(named):
        text += f"var own{number}=W((e,t)=>{{core();t.exports={{only:{number}}}}});"
        text += KIND.format(own=f"kind{number}", kind=kind, needs=f"own{number}")
        text += f"var passed{number}=W((e,t)=>{{t.exports=kind{number}()}});"
    listed = ",".join(f"passed{number}()" for number in range(len(named)))
    return f"{text}var all=W((e,t)=>{{var c=core();c.register([{listed}]);t.exports=c}});all();"


def test_what_other_kinds_alone_require_is_emptied() -> None:
    whole = script("bar", "pie", "heatmap", fill=20)
    cut = used_parts(whole, ("bar", "heatmap"))
    assert [number for number in range(23) if f"only:{number}}}" in cut] == [0, 2]
    assert "c.register([passed0(),passed2()" in cut
    assert "passed1()" not in cut
    assert "var own1=W((e,t)=>{});" in cut
    # What is shared, and what is outside of all modules, stays as it is.
    assert cut.startswith(whole[: whole.index("var own0")])


@pytest.mark.parametrize(
    "strange",
    [
        "",
        "window.Plotly = {};",
        script("bar", "heatmap").replace("all();", "}all();"),
        script("bar", "heatmap").replace("=(e,t)=>()=>{", "=function(e,t){"),
        script("bar", fill=30),
        script("bar", "heatmap").replace("var own1=", "var own0="),
    ],
    ids=["nothing", "no modules", "unmatched", "another maker", "a kind is missing", "a name is there twice"],
)
def test_a_script_that_is_not_understood_is_left_whole(strange: str) -> None:
    assert used_parts(strange, ("bar", "heatmap")) == strange


def test_plotlys_own_script_is_a_third() -> None:
    whole = get_plotlyjs()
    cut = used_parts(whole)
    assert len(cut) < 0.36 * len(whole)
    # Its notice of copyright and its licences go with it.
    begin, end = whole.index("/**"), whole.rindex("/*! Bundled license information")
    assert cut.startswith(whole[: whole.index("*/", begin)])
    assert cut.endswith(whole[end:])
    assert all(f'moduleType:"trace",name:"{kind}"' in cut for kind in (*KINDS, "scatter"))
    assert 'moduleType:"trace",name:"scatter3d"' not in cut
