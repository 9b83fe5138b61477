// Operations as they were recorded, of each rank in order of start. Which of them are of a step, which line of the ledger
// has which part of them, and on which lane they lie is found out when the step is first looked at. That may be tens of
// thousands, so slices are columns of numbers on the way.
const SHOWN = ["lane", "line", "begin", "length", "name", "launch", "fact", "call", "whom"];
const recordedSlices = () => {
  const columns = Object.fromEntries([...SHOWN, "second"].map((name) => [name, []]));
  const { lane: lanes, line: lines, begin: begins, length, name: names, launch: launches, fact: facts, call: calls, whom: whoms, second: seconds } = columns;
  const add = (lane, line, begin, end, name, { fact = -1, launch = -1, call = -1, whom = -1, second = 0 }) => {
    lanes.push(lane);
    lines.push(line);
    begins.push(begin);
    length.push(end - begin);
    names.push(name);
    launches.push(launch);
    facts.push(fact);
    calls.push(call);
    whoms.push(whom);
    seconds.push(second);
  };
  // By lane and begin; what begins at one time as it was added, but what a call does after its wait behind the rest.
  const inOrder = (count) => {
    const first = new Array(count + 1).fill(0);
    for (const lane of lanes) first[lane + 1] += 1;
    for (let lane = 0; lane < count; lane += 1) first[lane + 1] += first[lane];
    const next = first.slice();
    const order = new Array(lanes.length);
    for (let i = 0; i < lanes.length; i += 1) order[next[lanes[i]]++] = i;
    const earlier = (a, b) => begins[a] - begins[b] || seconds[a] - seconds[b] || a - b;
    for (let lane = 0; lane < count; lane += 1) {
      let sorted = true;
      for (let at = first[lane] + 1; at < first[lane + 1] && sorted; at += 1) sorted = earlier(order[at - 1], order[at]) < 0;
      if (sorted) continue;
      const own = order.slice(first[lane], first[lane + 1]).sort(earlier);
      for (let at = 0; at < own.length; at += 1) order[first[lane] + at] = own[at];
    }
    return Object.fromEntries(SHOWN.map((name) => [name, order.map((i) => columns[name][i])]));
  };
  return { add, launches, inOrder };
};
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

  // What shares time with the window, and the launch calls that it points at; met: the calls of a collective that
  // follow, by how far ahead of the one before they are.
  const workOf = ({ begin: opened, end: closed }, span, told, laneOf, slices, launches) => {
    const { look, gap, length, on, calling } = work.read(span.row, span.count);
    let end = 0;
    let called = span.called;
    let done = span.called + span.calling;
    let call = -1;
    let { at: next, last } = told;
    let matched = next < last ? told.met.ahead[next] : -1;
    for (let i = 0; i < span.count; i += 1) {
      const begin = i ? end + gap[i] : span.at;
      end = begin + length[i];
      const kind = report.kinds[look[i]];
      if (i && calling[i]) {
        called = done + on[i];
        done = called + calling[i] - 1;
        call = -1;
      }
      const here = i === matched ? next : -1;
      if (here >= 0) {
        next += 1;
        matched = next < last ? matched + told.met.ahead[next] : -1;
      }
      if (end <= opened || begin >= closed) continue;
      if (kind[6] >= 0 && call < 0) call = launches.push({ begin: called, end: done, name: kind[6], number: -1 }) - 1;
      const lane = laneOf[kind[5]];
      const [name, fact, launch] = [kind[3], kind[4], kind[6] < 0 ? -1 : call];
      if (here < 0) {
        if (kind[0] >= 0) slices.add(lane, kind[0], begin, end, name, { fact, launch });
        continue;
      }
      const arrived = begin + told.met.waited[here];
      const number = told.met.call[here] - 1;
      const waits = kind[1] >= 0 && arrived > begin;
      if (waits) slices.add(lane, kind[1], begin, arrived, name, { fact, launch, call: number });
      slices.add(lane, kind[2], arrived, end, name, { fact, launch, call: waits ? -1 : number, second: 1 });
    }
  };
  // A call is told with each operation that it launched.
  const numbered = (launches, from) => {
    const own = launches.sort((a, b) => a.begin - b.begin || a.end - b.end || a.name - b.name);
    const distinct = [];
    for (const call of own) {
      const last = distinct[distinct.length - 1];
      if (!last || last.begin !== call.begin || last.end !== call.end || last.name !== call.name) distinct.push(call);
      call.number = from + distinct.length - 1;
    }
    return distinct;
  };
  // Ranges that nest or overlap lie on different lanes, as many as there are; deeper ones are left out.
  const rangesOf = (told, from, count, laneOf, slices) => {
    const until = laneOf.map(() => -Infinity);
    let begin = 0;
    for (let i = from; i < from + count; i += 1) {
      begin += told.gap[i];
      const end = begin + told.length[i];
      const lane = until.findIndex((busy) => busy <= begin);
      if (lane < 0) continue;
      until[lane] = end;
      slices.add(laneOf[lane], rangeLine, begin, end, told.name[i], {});
    }
  };
  // Of the threads that launch, each on a lane of its own.
  const waitsOf = ({ rank, lane, gap, length, name, sleeps, whom }, place, slices) => {
    let begin = 0;
    rank.forEach((own, i) => {
      const fresh = i === 0 || own !== rank[i - 1] || lane[i] !== lane[i - 1];
      begin = gap[i] + (fresh ? 0 : begin);
      const at = place.get(`${own} host waits${lane[i] ? ` ${lane[i] + 1}` : ""}`);
      slices.add(at, sleeps[i] ? sleepLine : waitLine, begin, begin + length[i], name[i], { whom: whom[i] - 1 });
    });
  };

  return (step, number) => {
    const span = spans.of(number);
    const told = { met: met.of(number), ranges: ranges.of(number) };
    const windows = new Map(step.windows.map(([rank, begin, end]) => [rank, { begin, end }]));
    const place = new Map(step.lanes.map(([rank, name], lane) => [`${rank} ${name}`, lane]));
    const slices = recordedSlices();
    // Calls of all ranks, and where those of each begin; the tracks of a rank follow one another.
    const launches = [];
    const since = new Map();
    const at = { met: 0, ranges: 0 };
    span.count.forEach((count, i) => {
      const rank = report.tracks[step.track + i];
      if (!since.has(rank)) since.set(rank, launches.length);
      const own = { row: rowOf[spans.starts[number] + i], count, at: span.at[i], called: span.called[i], calling: span.calling[i] };
      const calls = { met: told.met, at: at.met, last: at.met + span.met[i] };
      if (count) workOf(windows.get(rank), own, calls, step.queues[i], slices, launches);
      const depths = [1, 2, 3, 4].map((depth) => place.get(`${rank} NVTX ${depth}`)).filter((lane) => lane !== undefined);
      rangesOf(told.ranges, at.ranges, span.ranges[i], depths, slices);
      at.met += span.met[i];
      at.ranges += span.ranges[i];
    });
    if (waits) waitsOf(waits.of(number), place, slices);
    const bounds = [...since.values(), launches.length];
    let from = 0;
    const distinct = [...since.keys()].map((rank, i) => {
      const own = numbered(launches.slice(bounds[i], bounds[i + 1]), from);
      from += own.length;
      return [rank, own];
    });
    slices.launches.forEach((call, i) => { if (call >= 0) slices.launches[i] = launches[call].number; });
    for (const [rank, own] of distinct) {
      const lane = place.get(`${rank} launches`);
      for (const { begin, end, name, number: launch } of own) slices.add(lane, launchLine, begin, end, name, { launch });
    }
    return slices.inOrder(step.lanes.length);
  };
};
