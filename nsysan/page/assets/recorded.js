// Operations as they were recorded, of each rank in order of start. Which of them are of a step, which line of the ledger
// has which part of them, and on which lane they lie is found out when the step is first looked at.
const recordedSteps = (report, { work, spans, met, ranges, waits }) => {
  const lineOf = (id) => report.lines.findIndex((line) => line.id === id);
  const [launchLine, rangeLine, waitLine, sleepLine] = ["launch", "nvtx", "host_wait", "host_sleep"].map(lineOf);
  // The first row of each track's window: told by how far behind the window of the step before it lies.
  const { first, count: counts } = spans.read(0, spans.total);
  const ends = report.tracks.map((_, track) => work.starts[track]);
  const rowOf = new Array(spans.total);
  report.steps.forEach(({ track }, number) => {
    for (let i = spans.starts[number]; i < spans.starts[number + 1]; i += 1) {
      const own = track + i - spans.starts[number];
      rowOf[i] = ends[own] + first[i];
      ends[own] = rowOf[i] + counts[i];
    }
  });

  // The collective that an operation is a call of, and how long it waits for the last rank, by its place in the window.
  const callsOf = (told, from, count) => {
    const found = new Map();
    let at = 0;
    for (let i = from; i < from + count; i += 1) {
      at += told.ahead[i];
      found.set(at, { waited: told.waited[i], call: told.call[i] - 1 });
    }
    return found;
  };
  // What shares time with the window, as slices on lanes, and the launch calls that they point at.
  const workOf = (window, span, calls, laneOf, lanes, launches) => {
    const { look, gap, length, on, calling } = work.read(span.row, span.count);
    let end = 0;
    let call = null;
    let called = span.called + span.calling;
    for (let i = 0; i < span.count; i += 1) {
      const begin = i ? end + gap[i] : span.at;
      end = begin + length[i];
      const [whole, before, after, name, fact, queue, launch] = report.kinds[look[i]];
      if (i === 0) call = { begin: span.called, end: called, name: launch, told: false };
      else if (calling[i]) {
        call = { begin: called + on[i], end: called + on[i] + calling[i] - 1, name: launch, told: false };
        called = call.end;
      }
      if (end <= window.begin || begin >= window.end) continue;
      if (launch >= 0 && !call.told) launches.push(Object.assign(call, { name: launch, told: true }));
      const lane = lanes[laneOf[queue]];
      const told = { name, fact, launch: launch < 0 ? null : call, call: -1 };
      const matched = calls.get(i);
      if (!matched) {
        if (whole >= 0) lane.push({ ...told, line: whole, begin, end });
        continue;
      }
      const last = begin + matched.waited;
      if (before >= 0 && last > begin) lane.push({ ...told, line: before, begin, end: last, call: matched.call });
      lane.push({ ...told, line: after, begin: last, end, call: last > begin && before >= 0 ? -1 : matched.call, second: 1 });
    }
  };
  // A call is told with each operation that it launched.
  const numbered = (launches, from) => {
    launches.sort((a, b) => a.begin - b.begin || a.end - b.end || a.name - b.name);
    const distinct = [];
    for (const call of launches) {
      const last = distinct[distinct.length - 1];
      if (!last || last.begin !== call.begin || last.end !== call.end || last.name !== call.name) distinct.push(call);
      call.number = from + distinct.length - 1;
    }
    return distinct;
  };
  // Ranges that nest or overlap lie on different lanes, as many as there are; deeper ones are left out.
  const rangesOf = (told, from, count, laneOf, lanes) => {
    const until = laneOf.map(() => -Infinity);
    let begin = 0;
    for (let i = from; i < from + count; i += 1) {
      begin += told.gap[i];
      const end = begin + told.length[i];
      const lane = until.findIndex((busy) => busy <= begin);
      if (lane < 0) continue;
      until[lane] = end;
      lanes[laneOf[lane]].push({ line: rangeLine, begin, end, name: told.name[i], fact: -1, launch: null, call: -1 });
    }
  };

  // Of the threads that launch, each on a lane of its own.
  const waitsOf = ({ rank, lane, gap, length, name, sleeps, whom }, place, lanes) => {
    let begin = 0;
    rank.forEach((own, i) => {
      const fresh = i === 0 || own !== rank[i - 1] || lane[i] !== lane[i - 1];
      begin = gap[i] + (fresh ? 0 : begin);
      const at = place.get(`${own} host waits${lane[i] ? ` ${lane[i] + 1}` : ""}`);
      lanes[at].push({
        line: sleeps[i] ? sleepLine : waitLine, begin, end: begin + length[i], name: name[i], fact: -1, launch: null, call: -1,
        whom: whom[i] - 1,
      });
    });
  };

  return (step, number) => {
    const span = spans.of(number);
    const told = { met: met.of(number), ranges: ranges.of(number) };
    const windows = new Map(step.windows.map(([rank, begin, end]) => [rank, { begin, end }]));
    const place = new Map(step.lanes.map(([rank, name], lane) => [`${rank} ${name}`, lane]));
    const lanes = step.lanes.map(() => []);
    const launches = new Map();
    const at = { met: 0, ranges: 0 };
    span.count.forEach((count, i) => {
      const rank = report.tracks[step.track + i];
      if (!launches.has(rank)) launches.set(rank, []);
      const own = { row: rowOf[spans.starts[number] + i], count, at: span.at[i], called: span.called[i], calling: span.calling[i] };
      const calls = callsOf(told.met, at.met, span.met[i]);
      if (count) workOf(windows.get(rank), own, calls, step.queues[i], lanes, launches.get(rank));
      const depths = [1, 2, 3, 4].map((depth) => place.get(`${rank} NVTX ${depth}`)).filter((lane) => lane !== undefined);
      rangesOf(told.ranges, at.ranges, span.ranges[i], depths, lanes);
      at.met += span.met[i];
      at.ranges += span.ranges[i];
    });
    if (waits) waitsOf(waits.of(number), place, lanes);
    let from = 0;
    for (const [rank, calls] of launches) {
      const distinct = numbered(calls, from);
      from += distinct.length;
      for (const { begin, end, name, number: launch } of distinct) {
        lanes[place.get(`${rank} launches`)].push({ line: launchLine, begin, end, name, fact: -1, launch: { number: launch }, call: -1 });
      }
    }
    const found = Object.fromEntries(SHOWN.map((name) => [name, []]));
    lanes.forEach((slices, lane) => {
      // Work on several streams may share a lane, and begins of one are not quite in order of start.
      slices.sort((a, b) => a.begin - b.begin || (a.second || 0) - (b.second || 0));
      for (const { line, begin, end, name, fact, launch, call, whom = -1 } of slices) {
        found.lane.push(lane);
        found.line.push(line);
        found.begin.push(begin);
        found.length.push(end - begin);
        found.name.push(name);
        found.launch.push(launch ? launch.number : -1);
        found.fact.push(fact);
        found.call.push(call);
        found.whom.push(whom);
      }
    });
    return found;
  };
};
