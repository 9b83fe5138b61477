// Slices of a lane as rectangles; below a pixel, of all that begin in it, the longest.
const timelineSlices = (view) => {
  const { report, hidden } = view;

  const caption = (pen, slice, y, height, left, right) => {
    const from = Math.max(left, view.layout.left) + 4;
    const room = Math.min(right, view.layout.width) - from - 4;
    if (room < 28) return;
    const line = report.lines[slice.line];
    const text = line.captioned ? line.id : report.names[slice.name];
    const fits = Math.floor(room / 6.2);
    pen.fillStyle = line.ink;
    pen.fillText(text.length > fits ? `${text.slice(0, fits - 1)}\u2026` : text, from, y + height / 2 + 0.5);
  };
  // scale: where a time lies; from, to: the times that are drawn; only: which slices; least: px; paint: another colour.
  const paint = (pen, { row, y, height }, { scale, from, to, captions, only, least = 1, paint: other }) => {
    const off = report.lines.map((line) => hidden.has(line.id));
    let column = -1;
    let longest = null;
    const bar = (slice, left, right) => {
      pen.fillStyle = other || report.lines[slice.line].colour;
      pen.fillRect(left, y, Math.max(right - left, least), height);
    };
    const flush = () => {
      if (longest) bar(longest, column, column + 1);
      longest = null;
    };
    for (let i = firstReaching(row, from); i < row.slices.length; i += 1) {
      const slice = row.slices[i];
      if (slice.begin > to) break;
      if (slice.end < from || off[slice.line] || (only && !only(slice))) continue;
      const left = Math.max(scale(slice.begin), view.layout.left);
      const right = Math.min(scale(slice.end), view.layout.width);
      if (right - left >= 1) {
        bar(slice, left, right - (right - left > 4 ? 0.5 : 0));
        if (captions) caption(pen, slice, y, height, left, right);
        continue;
      }
      const at = Math.floor(left);
      if (at !== column) { flush(); column = at; }
      if (!longest || slice.end - slice.begin > longest.end - longest.begin) longest = slice;
    }
    flush();
  };
  return paint;
};
