// All ranks on one clock. The address tells the view: #step=17&rank=3&from=120&to=180 (us).
const ROW = 20;
const SMALL = 13;
const GAP = 8;
const AXIS = 26;
const us = (ns, digits = 1) =>
  (ns / 1e3).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const startTimeline = (report) => {
  const stage = document.getElementById("stage");
  const canvas = stage.querySelector("canvas");
  const box = canvas.parentElement;
  const tip = stage.querySelector(".tip");
  const status = document.getElementById("timeline-status");
  const chooseStep = document.getElementById("step");
  const chooseRank = document.getElementById("rank");
  const legend = document.getElementById("legend");
  const pen = canvas.getContext("2d");
  const steps = new Map(report.steps.map((step) => [step.step, step]));
  const lineNumber = Object.fromEntries(report.lines.map((line, number) => [line.id, number]));
  const kinds = Object.keys(report.counters);
  const hidden = new Set();
  const state = { step: report.steps[0].step, rank: null, begin: 0, end: 1, hover: null, drag: null };
  let current = null;
  let layout = null;
  let requested = 0;

  // A step as lanes of slices, made when first looked at.
  const prepare = (step) => {
    if (step.rows) return step;
    const rows = step.lanes.map(([rank, name]) => ({ rank, name, slices: [], longest: 0 }));
    step.calls = new Map();
    let begin = 0;
    for (let i = 0; i < step.lane.length; i += 1) {
      begin += step.begin[i];
      const row = rows[step.lane[i]];
      const slice = { begin, end: begin + step.length[i], line: step.line[i], name: step.name[i], call: step.call[i], row };
      row.slices.push(slice);
      row.longest = Math.max(row.longest, step.length[i]);
      if (slice.call >= 0) {
        if (!step.calls.has(slice.call)) step.calls.set(slice.call, { from: null, to: [] });
        const joined = step.calls.get(slice.call);
        if (slice.line === lineNumber.launch) joined.from = slice; else joined.to.push(slice);
      }
    }
    const counters = step.counters.map((counter) => ({ ...counter, counter: true }));
    step.rows = report.ranks.flatMap((rank) => [
      ...rows.filter((row) => row.rank === rank), ...counters.filter((row) => row.rank === rank),
    ]);
    step.first = Math.min(0, ...rows.map((row) => (row.slices.length ? row.slices[0].begin : 0)));
    step.marks = step.last.map(([lane, time, late, call, name]) => ({ row: rows[lane], time, late, call, name }));
    return step;
  };

  const visible = (row) => {
    if (row.counter) return !hidden.has(kindOf(row.name));
    return row.slices.some((slice) => !hidden.has(report.lines[slice.line].id));
  };
  const kindOf = (name) => kinds.find((kind) => name.split(" ").includes(kind)) || kinds[0];

  const arrange = () => {
    const width = box.clientWidth;
    const narrow = width < 640;
    const rows = [];
    let y = 4;
    let rank = null;
    for (const row of current.rows.filter(visible)) {
      if (row.rank !== rank) {
        y += rank === null ? 0 : GAP;
        if (narrow) y += SMALL;
        rank = row.rank;
      }
      const height = row.counter ? ROW + 6 : row.name.startsWith("stream") ? ROW : SMALL;
      rows.push({ row, y, height });
      y += height + 2;
    }
    layout = { rows, left: narrow ? 4 : 132, width, height: y + AXIS, bottom: y, narrow };
    const scale = window.devicePixelRatio || 1;
    canvas.style.height = `${layout.height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(layout.height * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
  };

  const x = (time) => layout.left + ((time - state.begin) / (state.end - state.begin)) * (layout.width - layout.left - 4);
  const timeAt = (px) => state.begin + ((px - layout.left) / (layout.width - layout.left - 4)) * (state.end - state.begin);
  // The first slice that could reach `time`: slices of a lane may overlap by as much as the longest lasts.
  const firstReaching = (row, time) => {
    let low = 0;
    let high = row.slices.length;
    const bound = time - row.longest;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (row.slices[middle].begin < bound) low = middle + 1; else high = middle;
    }
    return low;
  };

  const bar = (slice, y, height, left, right) => {
    pen.fillStyle = report.lines[slice.line].colour;
    pen.fillRect(left, y, Math.max(right - left, 1), height);
  };
  const caption = (slice, y, height, left, right) => {
    const from = Math.max(left, layout.left) + 4;
    const room = Math.min(right, layout.width) - from - 4;
    if (room < 28) return;
    const line = report.lines[slice.line].id;
    const text = line === "wait" || line === "wire" ? line : report.names[slice.name];
    const fits = Math.floor(room / 6.2);
    const shown = text.length > fits ? `${text.slice(0, fits - 1)}\u2026` : text;
    pen.fillStyle = ["wait", "graph", "fused", "nvtx"].includes(line) ? "#111" : "#fff";
    pen.fillText(shown, from, y + height / 2 + 0.5);
  };

  const drawSlices = ({ row, y, height }) => {
    let column = -1;
    let longest = null;
    const flush = () => {
      if (longest) bar(longest, y, height, column, column + 1);
      longest = null;
    };
    for (let i = firstReaching(row, state.begin); i < row.slices.length; i += 1) {
      const slice = row.slices[i];
      if (slice.begin > state.end) break;
      if (slice.end < state.begin || hidden.has(report.lines[slice.line].id)) continue;
      const left = Math.max(x(slice.begin), layout.left);
      const right = Math.min(x(slice.end), layout.width);
      if (right - left >= 1) {
        bar(slice, y, height, left, right - (right - left > 4 ? 0.5 : 0));
        if (height > SMALL - 1) caption(slice, y, height, left, right);
        continue;
      }
      // Below a pixel: of all that begin in it, the longest.
      const at = Math.floor(left);
      if (at !== column) { flush(); column = at; }
      if (!longest || slice.end - slice.begin > longest.end - longest.begin) longest = slice;
    }
    flush();
  };

  // A share is drawn of 100 %, what has another unit of its peak; a value holds until the next sample.
  const drawCounter = ({ row, y, height }) => {
    const top = row.unit === "%" ? Math.max(row.peak, 100) : Math.max(row.peak, 1);
    const base = y + height;
    const level = (value) => base - 1 - (height - 3) * (value / top);
    const place = (time) => Math.min(Math.max(x(time), layout.left), layout.width);
    pen.fillStyle = report.counters[kindOf(row.name)];
    for (let i = 0; i + 1 < row.time.length; i += 1) {
      const left = place(row.time[i]);
      const right = place(row.time[i + 1]);
      if (right > left) pen.fillRect(left, level(row.value[i]), right - left, base - level(row.value[i]));
    }
    pen.strokeStyle = colour("--line");
    pen.beginPath(); pen.moveTo(layout.left, base); pen.lineTo(layout.width, base); pen.stroke();
  };

  // What lies before or after a rank's own step is not drawn: shaded, so that it is not taken for idle time.
  const drawBeyond = () => {
    pen.font = "11px system-ui, sans-serif";
    for (const [rank, begin, end] of current.windows) {
      const places = layout.rows.filter(({ row }) => row.rank === rank && row.name.startsWith("stream"));
      for (const { y, height } of places) {
        for (const [from, to, name] of [[state.begin, begin, "step before"], [end, state.end, "next step"]]) {
          const left = Math.max(x(from), layout.left);
          const right = Math.min(x(to), layout.width);
          if (right - left < 1) continue;
          pen.fillStyle = colour("--beyond");
          pen.fillRect(left, y, right - left, height);
          if (right - left < 90) continue;
          pen.fillStyle = colour("--soft");
          pen.fillText(`${name}, not drawn`, left + 4, y + height / 2 + 0.5);
        }
      }
    }
  };

  const drawAxis = () => {
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--soft");
    pen.textAlign = "center";
    const span = state.end - state.begin;
    const raw = span / Math.max(2, (layout.width - layout.left) / 110);
    const power = 10 ** Math.floor(Math.log10(raw));
    const tick = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const digits = Math.max(0, 3 - Math.floor(Math.log10(tick)));
    for (let time = Math.ceil(state.begin / tick) * tick; time <= state.end; time += tick) {
      const at = x(time);
      pen.beginPath(); pen.moveTo(at, 0); pen.lineTo(at, layout.bottom); pen.stroke();
      pen.fillText(us(time, Math.min(digits, 3)), at, layout.bottom + 8);
    }
    pen.textAlign = "right";
    pen.fillText("us since the first rank began the step", layout.width - 2, layout.bottom + 20);
    pen.textAlign = "left";
  };

  const drawLabels = () => {
    let rank = null;
    for (const { row, y, height } of layout.rows) {
      const first = row.rank !== rank;
      rank = row.rank;
      pen.fillStyle = state.rank === row.rank ? colour("--accent") : colour("--ink");
      pen.font = "600 11px system-ui, sans-serif";
      if (layout.narrow) {
        const names = () => layout.rows.filter((place) => place.row.rank === rank).map((place) => place.row.name);
        if (first) pen.fillText(`rank ${rank}: ${names().join(", ")}`, 4, y - SMALL / 2);
        continue;
      }
      if (first) pen.fillText(`rank ${rank}`, 4, y + height / 2);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = colour("--soft");
      pen.textAlign = "right";
      pen.fillText(row.name.slice(0, 15), layout.left - 8, y + height / 2);
      pen.textAlign = "left";
    }
  };

  // Calls and ranges of the host run ahead of the GPU: say where they are, if out of sight.
  const drawElsewhere = ({ row, y, height }) => {
    if (row.counter || !row.slices.length) return;
    const before = row.slices[0].begin + row.longest < state.begin && row.slices[row.slices.length - 1].end < state.begin;
    const after = row.slices[0].begin > state.end;
    if (!before && !after) return;
    pen.fillStyle = colour("--soft");
    pen.textAlign = before ? "left" : "right";
    const by = before ? state.begin - row.slices[row.slices.length - 1].end : row.slices[0].begin - state.end;
    // Calls for this step that end before it begins: the host is ahead of its GPU.
    const what = row.name === "launches" ? "last call" : "ends";
    const text = before ? `\u25c2 ${what} ${us(by, 0)} us before: host is ahead` : `begins ${us(by, 0)} us after \u25b8`;
    pen.fillText(text, before ? layout.left + 3 : layout.width - 6, y + height / 2);
    pen.textAlign = "left";
  };

  const drawMarks = () => {
    if (hidden.has("last")) return;
    pen.fillStyle = colour("--ink");
    pen.strokeStyle = colour("--paper");
    for (const mark of current.marks) {
      const place = layout.rows.find((entry) => entry.row === mark.row);
      if (!place || mark.time < state.begin || mark.time > state.end) continue;
      const at = x(mark.time);
      // What is within the noise of a step is no culprit.
      const size = mark.late >= 0.01 * current.span ? 5.5 : 2.5;
      pen.beginPath();
      pen.moveTo(at - size, place.y - 2); pen.lineTo(at + size, place.y - 2); pen.lineTo(at, place.y - 2 + 1.8 * size);
      pen.closePath(); pen.fill(); pen.stroke();
    }
  };

  // What a call launched, and what launched an operation.
  const drawJoins = () => {
    const slice = state.hover && state.hover.slice;
    if (!slice) return;
    const place = (other) => layout.rows.find((entry) => entry.row === other.row);
    const outline = (other) => {
      const at = place(other);
      if (at) pen.strokeRect(x(other.begin), at.y, Math.max(x(other.end) - x(other.begin), 2), at.height);
    };
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 1.5;
    outline(slice);
    const joined = current.calls.get(slice.call);
    if (joined && joined.from && !hidden.has("launch")) {
      const from = place(joined.from);
      for (const other of slice === joined.from ? joined.to.slice(0, 100) : [slice]) {
        const to = place(other);
        if (!from || !to) continue;
        pen.beginPath();
        pen.moveTo(x(joined.from.end), from.y + from.height);
        pen.lineTo(x(other.begin), to.y);
        pen.stroke();
      }
      outline(joined.from);
    }
    pen.lineWidth = 1;
  };

  const draw = () => {
    requested = 0;
    const started = performance.now();
    pen.clearRect(0, 0, layout.width, layout.height);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    if (state.rank !== null) {
      pen.fillStyle = colour("--chosen");
      for (const { row, y, height } of layout.rows) {
        if (row.rank === state.rank) pen.fillRect(0, y - 2, layout.width, height + 4);
      }
    }
    drawAxis();
    pen.save();
    pen.beginPath(); pen.rect(layout.left, 0, layout.width - layout.left, layout.bottom); pen.clip();
    drawBeyond();
    for (const place of layout.rows) {
      (place.row.counter ? drawCounter : drawSlices)(place);
      drawElsewhere(place);
    }
    drawMarks();
    drawJoins();
    if (state.drag && state.drag.select) {
      pen.fillStyle = colour("--chosen");
      pen.fillRect(state.drag.from, 0, state.drag.to - state.drag.from, layout.bottom);
    }
    pen.restore();
    drawLabels();
    performance.measure("timeline", { start: started });
  };
  const redraw = () => { if (!requested) requested = requestAnimationFrame(draw); };

  // ---- the view
  const writeAddress = () => {
    const parts = [`step=${state.step}`];
    if (state.rank !== null) parts.push(`rank=${state.rank}`);
    if (state.begin !== 0 || state.end !== current.span) {
      parts.push(`from=${(state.begin / 1e3).toFixed(3)}`, `to=${(state.end / 1e3).toFixed(3)}`);
    }
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const look = (begin, end) => {
    const span = Math.min(Math.max(end - begin, 100), (current.span - current.first) * 1.5);
    const centre = (begin + end) / 2;
    const from = Math.min(Math.max(centre - span / 2, current.first - 0.2 * current.span), 1.2 * current.span - span);
    state.begin = Math.round(from);
    state.end = Math.round(from + span);
    box.dataset.begin = state.begin;
    box.dataset.end = state.end;
    redraw();
    writeAddress();
  };
  const zoom = (factor, at = (state.begin + state.end) / 2) =>
    look(at - (at - state.begin) * factor, at + (state.end - at) * factor);
  const pan = (share) => {
    const by = share * (state.end - state.begin);
    look(state.begin + by, state.end + by);
  };
  const reset = () => { state.begin = 0; state.end = current.span; look(0, current.span); };

  const ledgerOf = (number) => {
    const { step, rank, values, names } = report.ledger;
    const rows = [];
    step.forEach((of, i) => {
      if (of === number) rows.push([rank[i], values.map((column) => column[i])]);
    });
    const table = create("table");
    const head = table.createTHead().insertRow();
    const excluded = report.ledger.excluded[number];
    table.createCaption().textContent =
      `Ledger of step ${number} (${report.ledger.labels[number] || ""}), us${excluded ? `; not in the medians: ${excluded}` : ""}`;
    for (const name of ["rank", ...names]) head.append(create("th", name, { scope: "col" }));
    const body = table.createTBody();
    for (const [of, figures] of rows) {
      const row = body.insertRow();
      row.dataset.rank = of;
      row.append(create("td", `rank ${of}`));
      for (const figure of figures) row.append(create("td", figure === null ? "-" : us(figure)));
    }
    const holder = document.getElementById("step-ledger");
    const scroll = create("div", "", { class: "scroll", tabindex: "0" });
    scroll.append(table);
    holder.replaceChildren(scroll);
    offerCopies(holder);
    return rows.length;
  };
  const markRank = () => {
    chooseRank.value = state.rank === null ? "" : String(state.rank);
    for (const row of document.querySelectorAll("tr[data-rank]")) {
      row.classList.toggle("chosen", Number(row.dataset.rank) === state.rank);
    }
  };
  const say = (number, rank) => {
    const step = steps.get(number);
    const known = ledgerOf(number);
    if (step) {
      const absent = rank !== null && !report.ranks.includes(rank);
      status.textContent = [absent ? `There is no rank ${rank} in this report.` : "", step.note].join(" ").trim();
    }
    else if (known) {
      status.textContent = `Step ${number} has no timeline in this file (${steps.size} steps have); its ledger is below, the timeline shows step ${state.step}.`;
    } else if (number >= 0 && number < report.ledger.count) {
      status.textContent = `Step ${number} is not in this file, which would be too large; the JSON document has its figures.`;
    } else status.textContent = `There is no step ${Number.isNaN(number) ? "of that number" : number} in this report; the timeline shows step ${state.step}.`;
  };
  const show = (number, rank, from, to) => {
    if (steps.has(number)) state.step = number;
    current = prepare(steps.get(state.step));
    state.rank = report.ranks.includes(rank) ? rank : null;
    state.hover = null;
    tip.hidden = true;
    chooseStep.value = String(state.step);
    markRank();
    arrange();
    say(number, rank);
    box.dataset.step = state.step;
    state.begin = 0;
    state.end = current.span;
    if (Number.isFinite(from) && Number.isFinite(to) && to > from) look(from, to);
    else { box.dataset.begin = 0; box.dataset.end = current.span; redraw(); }
  };

  const followAddress = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("step") && !wanted.has("rank")) return false;
    const number = (name) => (wanted.has(name) ? Number(wanted.get(name)) : NaN);
    show(wanted.has("step") ? number("step") : state.step, wanted.has("rank") ? number("rank") : null,
      number("from") * 1e3, number("to") * 1e3);
    document.getElementById("timeline").scrollIntoView();
    return true;
  };

  // ---- what stands above it
  const group = (title, list) => {
    if (!list.length) return;
    const options = create("optgroup", "", { label: title });
    for (const step of list) {
      const name = `step ${step.step}: ${step.role ? `${step.role}, ` : ""}${step.period}`;
      options.append(create("option", name, { value: step.step }));
    }
    chooseStep.append(options);
  };
  group("worth a look", report.steps.filter((step) => step.role));
  group("others", report.steps.filter((step) => !step.role));
  for (const rank of report.ranks) chooseRank.append(create("option", `rank ${rank}`, { value: rank }));
  // Another step is looked at as closely as the one before.
  const change = (number) => {
    const zoomed = state.begin !== 0 || state.end !== current.span;
    show(number, state.rank, ...(zoomed ? [state.begin, state.end] : []));
    writeAddress();
  };
  chooseStep.addEventListener("change", () => change(Number(chooseStep.value)));
  chooseRank.addEventListener("change", () => {
    state.rank = chooseRank.value === "" ? null : Number(chooseRank.value);
    markRank();
    redraw();
    writeAddress();
  });
  const stepBy = (by) => {
    const order = [...steps.keys()].sort((a, b) => a - b);
    const next = order[order.indexOf(state.step) + by];
    if (next !== undefined) change(next);
  };

  const present = new Set(report.steps.flatMap((step) => step.line));
  const filters = report.lines.filter((line, number) => present.has(number));
  if (report.steps.some((step) => step.last.length)) filters.push(report.lines[lineNumber.last]);
  const toggles = filters.map((line) => [line.id, line.name, line.id === "last" ? "var(--ink)" : line.colour]);
  const used = new Set(report.steps.flatMap((step) => step.counters.map((counter) => kindOf(counter.name))));
  for (const kind of used) toggles.push([kind, `counters: ${kind}`, report.counters[kind]]);
  const pressed = () => {
    for (const button of legend.children) button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.line)));
    arrange();
    redraw();
  };
  for (const [id, name, paint] of toggles) {
    const button = create("button", name, { type: "button", "data-line": id, title: "click: hide or show; double-click: only this" });
    button.prepend(create("i", "", { style: `background:${paint}` }));
    button.addEventListener("click", () => {
      if (!hidden.delete(id)) hidden.add(id);
      pressed();
    });
    button.addEventListener("dblclick", () => {
      const others = toggles.map(([other]) => other).filter((other) => other !== id);
      const alone = others.every((other) => hidden.has(other)) && !hidden.has(id);
      hidden.clear();
      if (!alone) for (const other of others) hidden.add(other);
      pressed();
    });
    legend.append(button);
  }

  // ---- pointer and keys
  const sliceAt = (px, py) => {
    const place = layout.rows.find(({ y, height }) => py >= y - 1 && py <= y + height + 1);
    if (!place || px < layout.left) return null;
    if (place.row.counter) return { counter: place.row, time: timeAt(px) };
    const margin = timeAt(px + 2) - timeAt(px);
    const time = timeAt(px);
    let found = null;
    for (let i = firstReaching(place.row, time - margin); i < place.row.slices.length; i += 1) {
      const slice = place.row.slices[i];
      if (slice.begin > time + margin) break;
      if (slice.end < time - margin || hidden.has(report.lines[slice.line].id)) continue;
      const inside = slice.begin <= time && time < slice.end;
      if (!found || inside || slice.end - slice.begin > found.end - found.begin) found = slice;
      if (inside) break;
    }
    return found && { slice: found };
  };
  const partner = (slice, before) => {
    const at = slice.row.slices.indexOf(slice);
    const other = slice.row.slices[at + (before ? -1 : 1)];
    const meets = other && other.name === slice.name && (before ? other.end === slice.begin : slice.end === other.begin);
    return meets ? other : null;
  };
  const describe = ({ slice, counter, time }) => {
    if (counter) {
      let i = counter.time.findIndex((at) => at > time) - 1;
      if (i < -1) i = counter.time.length - 1;
      const value = counter.value[Math.max(i, 0)];
      return [counter.name, `${value.toLocaleString("en-US")} ${counter.unit} (peak of the step ${counter.peak.toLocaleString("en-US")})`, `rank ${counter.rank}`];
    }
    const line = report.lines[slice.line];
    const lines = [report.names[slice.name], `${line.name}: ${us(slice.end - slice.begin, 2)} us, at ${us(slice.begin, 2)} us`];
    if (line.id === "wait") {
      const then = partner(slice, false);
      if (then) lines.push(`waits ${us(slice.end - slice.begin, 2)} us for the last rank, then moves data for ${us(then.end - then.begin, 2)} us`);
    } else if (line.id === "wire" || line.id === "fused") {
      const waited = partner(slice, true);
      if (waited && report.lines[waited.line].id === "wait") lines.push(`after waiting ${us(waited.end - waited.begin, 2)} us for the last rank`);
    }
    const joined = current.calls.get(slice.call);
    if (joined && line.id === "launch") lines.push(`launches ${joined.to.length === 1 ? report.names[joined.to[0].name] : `${new Set(joined.to.map((other) => `${other.name} ${other.begin}`)).size} operations`}`);
    else if (joined && joined.from) lines.push(`launched by ${report.names[joined.from.name]}, ${us(slice.begin - joined.from.begin, 1)} us before`);
    const mark = current.marks.find((entry) => entry.row === slice.row && entry.time === slice.begin);
    if (mark) lines.push(`last to arrive at collective ${mark.call}, ${us(mark.late, 2)} us after the first`);
    lines.push(`rank ${slice.row.rank}, ${slice.row.name}`);
    return lines;
  };
  const hover = (px, py) => {
    const found = sliceAt(px, py);
    const changed = (found && found.slice) !== (state.hover && state.hover.slice);
    state.hover = found;
    tip.hidden = !found;
    if (found) {
      tip.replaceChildren(...describe(found).map((text, i) => create(i ? "p" : "b", text)));
      tip.style.left = `${Math.max(0, Math.min(px + 12, layout.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${py + 16}px`;
    }
    if (changed) redraw();
  };
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  const touches = new Map();
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [px] = at(event);
    touches.set(event.pointerId, px);
    const select = event.pointerType === "mouse" && !event.shiftKey;
    state.drag = { select, from: px, to: px, begin: state.begin, end: state.end };
    if (event.pointerType === "mouse") box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (touches.size === 2 && touches.has(event.pointerId)) {
      const other = [...touches].find(([id]) => id !== event.pointerId)[1];
      const apart = Math.abs(touches.get(event.pointerId) - other);
      touches.set(event.pointerId, px);
      state.drag = null;
      if (apart > 5 && Math.abs(px - other) > 5) zoom(apart / Math.abs(px - other), timeAt((px + other) / 2));
      return;
    }
    if (!state.drag) { hover(px, py); return; }
    state.drag.to = px;
    if (state.drag.select) redraw();
    else {
      const by = ((state.drag.from - px) / (layout.width - layout.left)) * (state.drag.end - state.drag.begin);
      look(state.drag.begin + by, state.drag.end + by);
    }
  });
  const lift = (event) => {
    touches.delete(event.pointerId);
    const drag = state.drag;
    state.drag = null;
    if (!drag) return;
    if (drag.select && Math.abs(drag.to - drag.from) > 4) {
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b).map(timeAt);
      look(from, to);
    } else hover(...at(event));
    redraw();
  };
  box.addEventListener("pointerup", lift);
  box.addEventListener("pointercancel", lift);
  box.addEventListener("pointerleave", () => { if (!state.drag) { state.hover = null; tip.hidden = true; redraw(); } });
  box.addEventListener("dblclick", reset);
  box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey && document.activeElement !== box) return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(Math.sign(event.deltaX || event.deltaY) * 0.1);
    else zoom(1.2 ** Math.sign(event.deltaY), timeAt(at(event)[0]));
  }, { passive: false });

  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), w: () => zoom(0.5), s: () => zoom(2),
    ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), a: () => pan(-0.2), d: () => pan(0.2),
    0: reset, Home: reset, "[": () => stepBy(-1), "]": () => stepBy(1),
    Escape: () => { state.hover = null; tip.hidden = true; box.blur(); redraw(); },
  };
  box.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  for (const button of stage.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => actions[button.dataset.key]());
  }
  const link = document.getElementById("link");
  link.addEventListener("click", async () => {
    writeAddress();
    // A file's address is of no use to others.
    await copyText(location.protocol === "file:" ? location.hash : location.href);
    link.textContent = "copied";
    setTimeout(() => { link.textContent = "copy link"; }, 1500);
  });

  window.addEventListener("hashchange", followAddress);
  new ResizeObserver(() => { if (box.clientWidth !== layout.width) { arrange(); draw(); } }).observe(box);
  nsysan.onTheme.push(() => { arrange(); draw(); });
  show(state.step, null);
  followAddress();
  pressed();
  draw();
};
