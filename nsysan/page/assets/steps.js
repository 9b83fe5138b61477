// The steps' columns of whole numbers lie in one run of bytes: of each column a plane of the lowest bytes, then of the
// next. Those of a step are put together when it is first looked at.
const columnsOf = (bytes, { at, rows, columns }) => {
  const starts = [0];
  for (const count of rows) starts.push(starts[starts.length - 1] + count);
  const total = starts[rows.length];
  let place = at;
  const placed = columns.map(([name, width, signed]) => {
    place += width * total;
    return { name, width, signed, from: place - width * total };
  });
  const numbersOf = ({ width, signed, from }, first, count) => {
    const found = new Array(count).fill(0);
    for (let plane = width - 1; plane >= 0; plane -= 1) {
      const start = from + plane * total + first;
      for (let i = 0; i < count; i += 1) found[i] = found[i] * 256 + bytes[start + i];
    }
    if (signed) for (let i = 0; i < count; i += 1) found[i] = found[i] % 2 ? -(found[i] + 1) / 2 : found[i] / 2;
    return found;
  };
  const read = (first, count) =>
    Object.fromEntries(placed.map((column) => [column.name, numbersOf(column, first, count)]));
  return { starts, total, read, of: (number) => read(starts[number], rows[number]) };
};
const lazily = (object, names, make) => {
  let made = null;
  for (const name of names) {
    Object.defineProperty(object, name, { enumerable: true, get: () => { made ??= make(); return made[name]; } });
  }
};
const SHOWN = ["lane", "line", "begin", "length", "name", "launch", "fact", "call", "whom"];
// Of a step of which not all is in the file, slices are told by how long after the one before on their lane they begin;
// launches by how much they go on; calls, of the slices that are a side of one, too.
const slicesOf = ({ looks, lines }, { look, gap, length, on }, lanes, calls) => {
  const found = { lane: [], line: [], begin: [], length, name: [], launch: [], fact: [], call: [], whom: [] };
  let number = 0;
  let sides = 0;
  for (let lane = 0; lane < lanes.count.length; lane += 1) {
    let end = 0;
    let launch = lanes.on[lane] - 1;
    let call = -1;
    for (const last = number + lanes.count[lane]; number < last; number += 1) {
      const [line, name, fact] = looks[look[number]];
      const begin = end + gap[number];
      end = begin + length[number];
      launch += on[number];
      const further = lines[line].cut ? calls[sides++] : 0;
      call += further;
      found.lane.push(lane);
      found.line.push(line);
      found.begin.push(begin);
      found.name.push(name);
      found.launch.push(launch);
      found.fact.push(fact);
      found.call.push(further ? call : -1);
      found.whom.push(-1);
    }
  }
  return found;
};
const openSteps = (report, bytes) => {
  const tables = Object.fromEntries(
    Object.entries(report.tables).map(([name, table]) => [name, columnsOf(bytes, table)]),
  );
  const { slices, lanes, calls, marks, pieces } = tables;
  const recorded = tables.spans && recordedSteps(report, tables);
  report.steps.forEach((step, number) => {
    Object.assign(step, report.layouts[step.layout]);
    const drawn = () => (step.track === null
      ? slicesOf(report, slices.of(number), lanes.of(number), calls.of(number).call)
      : recorded(step, number));
    lazily(step, SHOWN, drawn);
    lazily(step, ["last"], () => {
      const { lane, time, late, collective, name } = marks.of(number);
      return { last: lane.map((_, i) => [lane[i], time[i], late[i], collective[i], name[i]]) };
    });
    if (step.path.untold === undefined) lazily(step.path, ["length", "lane", "class", "why", "name"], () => {
      const { named, ...own } = pieces.of(number);
      return { ...own, name: named.map((name) => name - 1) };
    });
  });
};
