// Operations of a timeline: which one lies under a point, and what is known of it.
const timelineOperations = (view) => {
  const { report, hidden, timeAt } = view;
  const lineOf = (slice) => report.lines[slice.line];
  const isWork = (slice) => slice.line < report.claimed;
  const factsOf = (slice) => report.facts[slice.fact] || ["", null, null, null, null];
  const nameOf = (slice) => report.names[slice.name];
  const fullName = (slice) => factsOf(slice)[0] || nameOf(slice);

  // A call that waits is two slices: before the last arrival and after it.
  const beside = (slice, by) => {
    const other = slice.row.slices[slice.at + by];
    const meets = other && other.name === slice.name && (by < 0 ? other.end === slice.begin : slice.end === other.begin);
    return meets ? other : null;
  };
  const head = (slice) => {
    const before = lineOf(slice).cut === "after" && slice.call < 0 ? beside(slice, -1) : null;
    return before && lineOf(before).cut === "before" ? before : slice;
  };
  const tail = (slice) => {
    const after = lineOf(slice).cut === "before" ? beside(slice, 1) : null;
    return after && lineOf(after).cut === "after" ? after : slice;
  };
  const whole = (slice) => ({ begin: head(slice).begin, end: tail(slice).end });
  const callOf = (slice) => view.current.calls.get(head(slice).call) || null;
  const launchOf = (slice) => {
    const joined = view.current.launches.get(slice.launch);
    return joined && joined.from !== slice ? joined.from : null;
  };

  const sliceAt = (px, py) => {
    const place = view.layout.rows.find(({ y, height }) => py >= y - 1 && py <= y + height + 1);
    if (!place || px < view.layout.left) return null;
    if (place.row.counter) return { counter: place.row, time: timeAt(px) };
    const margin = timeAt(px + 2) - timeAt(px);
    const time = timeAt(px);
    let found = null;
    for (let i = firstReaching(place.row, time - margin); i < place.row.slices.length; i += 1) {
      const slice = place.row.slices[i];
      if (slice.begin > time + margin) break;
      if (slice.end < time - margin || hidden.has(lineOf(slice).id)) continue;
      const inside = slice.begin <= time && time < slice.end;
      if (!found || inside || slice.end - slice.begin > found.end - found.begin) found = slice;
      if (inside) break;
    }
    return found && { slice: found };
  };

  const parts = (slice) => {
    const [first, last] = [head(slice), tail(slice)];
    if (first === last) return null;
    return { waits: first.end - first.begin, moves: last.end - last.begin };
  };
  const arrival = (slice) => {
    const call = callOf(slice);
    if (!call || !call.last) return "";
    const late = `${us(call.late, 3)} \u00b5s after the first`;
    return call.last.row.rank === slice.row.rank ? `this rank arrived last, ${late}` : `rank ${call.last.row.rank} arrived last, ${late}`;
  };
  // Whom a host waits for; nothing of what is no such wait.
  const waitsFor = (slice, untold) => {
    if (lineOf(slice).id !== "host_wait") return "";
    return slice.whom < 0 ? untold : `waits for ${report.whom[slice.whom]}`;
  };
  const UNTOLD = "what it waits for is not told";
  // In few words, for the line that a screen reader reads too.
  const inWords = (slice) => {
    const { begin, end } = whole(slice);
    const call = callOf(slice);
    const part = parts(slice);
    const words = [
      `${nameOf(slice)}: ${part ? "" : `${lineOf(slice).name}, `}${us(end - begin, 3)} \u00b5s at ${us(begin, 3)} \u00b5s on rank ${slice.row.rank}, ${slice.row.name}`,
      part ? `waits ${us(part.waits, 3)} \u00b5s, then moves data for ${us(part.moves, 3)} \u00b5s` : "",
      call ? `collective ${call.number}${arrival(slice) ? `: ${arrival(slice)}` : ""}` : "",
      waitsFor(slice, UNTOLD),
    ];
    return words.filter(Boolean).join("; ");
  };
  // Everything, as terms and values.
  const facts = (slice) => {
    const { begin, end } = whole(slice);
    const [, stream, bytes, ...sides] = factsOf(slice);
    const [grid, block] = sides.map((side) => (side || "").replaceAll("x", "\u00d7"));
    const part = parts(slice);
    const call = callOf(slice);
    const launch = launchOf(slice);
    const kernel = isWork(slice);
    const unknown = "not told by the trace";
    const launched = launch && [
      ["launch call", `${nameOf(launch)}, ${us(launch.end - launch.begin, 3)} \u00b5s at ${us(launch.begin, 3)} \u00b5s`],
      ["launch delay", `${us(begin - launch.begin, 3)} \u00b5s from the call's begin, ${us(begin - launch.end, 3)} \u00b5s in the queue after its end`],
    ];
    const launches = slice.line === view.lineNumber.launch && view.current.launches.get(slice.launch);
    return [
      ["kind", part ? `${lineOf(head(slice)).name}, then ${lineOf(tail(slice)).name}` : lineOf(slice).name],
      ["duration", `${us(end - begin, 3)} \u00b5s${part ? `: waits ${us(part.waits, 3)} \u00b5s, moves data for ${us(part.moves, 3)} \u00b5s` : ""}`],
      ["from, to", `${us(begin, 3)} to ${us(end, 3)} \u00b5s of the step`],
      ["where", `rank ${slice.row.rank}, ${slice.row.name}${stream === null || slice.row.name === `stream ${stream}` ? "" : `, stream ${stream}`}`],
      ...(waitsFor(slice, unknown) ? [["waits for", waitsFor(slice, unknown).replace("waits for ", "")]] : []),
      ...(call ? [["collective", `${call.number} of this step${arrival(slice) ? `; ${arrival(slice)}` : ""}`]] : []),
      ...(grid || kernel ? [["grid", grid || unknown], ["block", block || unknown]] : []),
      ...(bytes === null ? [] : [["size", sizeOf(bytes)]]),
      ...(launched || (kernel ? [["launch call", slice.launch >= 0 ? "not in this file" : unknown]] : [])),
      ...(launches ? [["launches", launchedBy(launches)]] : []),
    ];
  };
  // In binary units, as everywhere.
  const sizeOf = (bytes) => {
    const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 3);
    const value = bytes / 1024 ** power;
    return `${value.toLocaleString("en-US", { maximumFractionDigits: 1 })} ${["B", "KiB", "MiB", "GiB"][power]}`;
  };
  const launchedBy = ({ to }) => {
    if (to.length === 1) return nameOf(to[0]);
    return `${new Set(to.map((other) => `${other.name} ${other.row.name} ${head(other).begin}`)).size} operations`;
  };
  const describe = ({ slice, counter, time }) => {
    if (counter) {
      let i = counter.time.findIndex((at) => at > time) - 1;
      if (i < -1) i = counter.time.length - 1;
      const value = counter.value[Math.max(i, 0)];
      const told = value === undefined ? "no sample" : `${value.toLocaleString("en-US")} ${counter.unit}`;
      return [counter.name, `${told} (peak of the step ${counter.peak.toLocaleString("en-US")})`, `rank ${counter.rank}`];
    }
    const line = lineOf(slice);
    const lines = [nameOf(slice), `${line.name}: ${us(slice.end - slice.begin, 2)} \u00b5s, at ${us(slice.begin, 2)} \u00b5s`];
    const part = parts(slice);
    if (part && line.cut === "before") lines.push(`waits ${us(part.waits, 2)} \u00b5s for the last rank, then moves data for ${us(part.moves, 2)} \u00b5s`);
    else if (part) lines.push(`after waiting ${us(part.waits, 2)} \u00b5s for the last rank`);
    const launch = launchOf(slice);
    const joined = view.current.launches.get(slice.launch);
    if (joined && line.id === "launch") lines.push(`launches ${launchedBy(joined)}`);
    else if (launch) lines.push(`launched by ${nameOf(launch)}, ${us(slice.begin - launch.begin, 1)} \u00b5s before`);
    const call = callOf(slice);
    if (waitsFor(slice, UNTOLD)) lines.push(waitsFor(slice, UNTOLD));
    if (call && call.last) lines.push(`collective ${call.number}: ${arrival(slice)}`);
    lines.push(`rank ${slice.row.rank}, ${slice.row.name}`);
    return lines;
  };
  return { lineOf, nameOf, fullName, factsOf, isWork, head, tail, whole, callOf, launchOf, sliceAt, inWords, facts, describe };
};
