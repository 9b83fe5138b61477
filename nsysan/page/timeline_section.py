"""The timeline's section: what stands around the canvases that assets/timeline*.js draw."""

from __future__ import annotations

from nsysan.page.elements import section
from nsysan.report.report import Report

_NOTE = (
    "All ranks on one clock. Triangles mark the last rank to arrive at a collective, large where that was 1 % of the "
    "step or more after the first. Ranks begin and end a step apart: what is shaded belongs to a rank's step before or "
    "after, and its work is not drawn. The host runs ahead of its GPU, so its calls and ranges may be those of other "
    "steps. Pointing at work shows the call that launched it. The outline is the critical path, what the next step had "
    "to wait for, where the ledger has where each GPU's time goes; its pieces sum to the step."
)
_HELP = (
    "Drag to zoom, Shift and drag for a range and its ledger, click an operation to keep what is known of it; in focus "
    "c goes from collective to collective, j to the rank waited for, p along the critical path, u back to what was "
    "shown before; / searches, ? lists all keys. The legend hides and shows: double-click for one alone."
)


def timeline_section(report: Report) -> str:
    """HTML of the section; nothing where no step is drawn."""
    if not report.timelines:
        return ""
    help_ = f'<p class="note screen">{_HELP}</p>'
    return section("Timeline", _NOTE, help_, _STAGE, anchor="timeline")


#: Buttons do what the key in data-key does.
_STAGE = """
<div id="stage">
<div class="tools" role="group" aria-label="step and search">
<label>step <select id="step"></select></label>
<button type="button" data-key="[" aria-label="previous step">&lsaquo;</button>
<button type="button" data-key="]" aria-label="next step">&rsaquo;</button>
<label>rank <select id="rank"><option value="">all</option></select></label>
<label class="find">find <input type="search" id="find" maxlength="200" placeholder="kernel, call or range"
 autocomplete="off" spellcheck="false" aria-describedby="hits"></label>
<button type="button" data-key="N" aria-label="previous hit">&lsaquo;</button>
<button type="button" data-key="n" aria-label="next hit">&rsaquo;</button>
<span id="hits" class="sub" role="status"></span>
</div>
<div class="tools" id="look" role="toolbar" aria-label="look and follow">
<button type="button" data-key="+" aria-label="zoom in">+</button>
<button type="button" data-key="-" aria-label="zoom out">&minus;</button>
<button type="button" data-key="ArrowLeft" aria-label="pan left">&larr;</button>
<button type="button" data-key="ArrowRight" aria-label="pan right">&rarr;</button>
<button type="button" data-key="0">reset</button>
<button type="button" data-key="u" aria-label="undo: back to what was shown before">undo</button>
<button type="button" data-key="C" aria-label="previous collective">&lsaquo; collective</button>
<button type="button" data-key="c" aria-label="next collective">collective &rsaquo;</button>
<button type="button" data-key="j" aria-label="waits for: to the rank that came last">waits for</button>
<button type="button" data-key="P" aria-label="back along the critical path">&lsaquo; path</button>
<button type="button" data-key="p" aria-label="forward along the critical path">path &rsaquo;</button>
<button type="button" id="link">copy link</button>
<button type="button" data-key="?" aria-label="all keys" aria-haspopup="dialog">?</button>
</div>
<div class="legend" id="legend" role="toolbar" aria-label="what the timeline shows"></div>
<div class="tools" id="hidden-ranks" role="group" aria-label="hidden ranks" hidden></div>
<p class="note screen" id="path-status" aria-live="polite"></p>
<p class="note screen" id="op-status" aria-live="polite">Nothing is chosen: click an operation, or press c or . to go
from one to the next.</p>
<div id="lanes">
<div id="timeline-head">
<div id="overview" aria-hidden="true"><canvas></canvas></div>
<div id="axis" aria-hidden="true"><canvas></canvas></div>
<div class="body">
<div id="top-lanes" aria-hidden="true" hidden><canvas></canvas></div>
<div id="top-heads" class="heads" role="toolbar" aria-label="ranks kept in sight"></div>
</div>
</div>
<div class="body">
<div class="canvas" id="canvas" tabindex="0" role="application" aria-describedby="op-status"
 aria-label="timeline of one step on all ranks; the ledger below holds its sums; question mark lists the keys">
<canvas></canvas><div class="tip" hidden></div></div>
<div id="heads" class="heads" role="toolbar" aria-orientation="vertical" aria-label="ranks"></div>
</div>
<div id="pinned" role="region" aria-label="chosen operation" hidden>
<p><b></b></p>
<dl></dl>
<p class="tools"><button type="button" data-do="copy">copy</button>
<button type="button" data-do="near">zoom to it</button>
<button type="button" data-do="last">rank waited for</button>
<button type="button" data-do="close" aria-label="let go of the operation">close</button></p>
</div>
</div>
<div id="range" role="region" aria-label="chosen range" hidden>
<p><b></b></p>
<p class="tools"><button type="button" data-do="near">zoom to it</button>
<button type="button" data-do="clear">clear</button></p>
<div></div>
</div>
<p class="note" id="timeline-status" aria-live="polite"></p>
<div id="step-ledger"></div>
<dialog id="keys" aria-labelledby="keys-title">
<h2 id="keys-title">Keys of the timeline</h2>
<button type="button">close</button>
<div></div>
</dialog>
</div>"""
