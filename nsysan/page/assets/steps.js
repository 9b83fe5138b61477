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
  return (number) => {
    const found = {};
    for (const { name, width, signed, from } of placed) {
      found[name] = Array.from({ length: rows[number] }, (_, i) => {
        let value = 0;
        for (let plane = width - 1; plane >= 0; plane -= 1) value = value * 256 + bytes[from + plane * total + starts[number] + i];
        if (!signed) return value;
        return value % 2 ? -(value + 1) / 2 : value / 2;
      });
    }
    return found;
  };
};
const lazily = (object, names, make) => {
  let made = null;
  for (const name of names) {
    Object.defineProperty(object, name, { enumerable: true, get: () => { made ??= make(); return made[name]; } });
  }
};
// Slices are told by how long after the one before on their lane they begin; launches by how much they go on.
const slicesOf = ({ lane, line, gap, length, name, on, fact, call: calls }) => {
  const begin = [];
  const launch = [];
  let end = 0;
  let before = 0;
  let call = 0;
  for (let i = 0; i < lane.length; i += 1) {
    if (i && lane[i] !== lane[i - 1]) end = 0;
    begin.push(end + gap[i] - before);
    before = end + gap[i];
    end = before + length[i];
    call += on[i];
    launch.push(call - 1);
  }
  return { lane, line, begin, length, name, launch, fact, call: calls };
};
const openSteps = (report, bytes) => {
  const { slices, marks, pieces } = Object.fromEntries(
    Object.entries(report.tables).map(([name, table]) => [name, columnsOf(bytes, table)]),
  );
  report.steps.forEach((step, number) => {
    lazily(step, ["lane", "line", "begin", "length", "name", "launch", "fact", "call"], () => slicesOf(slices(number)));
    lazily(step, ["last"], () => {
      const { lane, time, late, collective, name } = marks(number);
      return { last: lane.map((_, i) => [lane[i], time[i], late[i], collective[i], name[i]]) };
    });
    if (step.path.untold === undefined) lazily(step.path, ["length", "lane", "class", "why", "name"], () => {
      const { named, ...own } = pieces(number);
      return { ...own, name: named.map((name) => name - 1) };
    });
  });
};
