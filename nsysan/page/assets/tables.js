// Tables that can be copied.
const cells = (row) => [...row.cells].map((cell) => cell.textContent.trim());
// A column of gauges has no text to copy.
const rowsOf = (table) => {
  const rows = [...table.rows].filter((row) => row.getClientRects().length).map(cells);
  return rows.map((row) => row.filter((_, column) => rows.length < 2 || rows.slice(1).some((other) => other[column])));
};
const asTsv = (rows) => rows.map((row) => row.join("\t")).join("\n");
const asMarkdown = ([header = [], ...rows]) => {
  const line = (row) => `| ${row.map((cell) => cell.replace(/[\\|]/g, "\\$&").replace(/</g, "&lt;")).join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
};
const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = create("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const offerCopies = (scope) => {
  for (const table of scope.querySelectorAll("table")) {
    const bar = create("div", "", { class: "copies" });
    for (const [name, format] of [["copy as TSV", asTsv], ["Markdown", asMarkdown]]) {
      const button = create("button", name, { type: "button" });
      button.addEventListener("click", async () => {
        await copyText(format(rowsOf(table)));
        button.textContent = "copied";
        setTimeout(() => { button.textContent = name; }, 1500);
      });
      bar.append(button);
    }
    table.parentElement.after(bar);
  }
};
offerCopies(document);
// A table of texts, whatever they are.
const tableOf = (caption, names, rows, attributes = {}) => {
  const table = create("table", "", attributes);
  table.createCaption().textContent = caption;
  const head = table.createTHead().insertRow();
  for (const name of names) head.append(create("th", name, { scope: "col" }));
  const body = table.createTBody();
  for (const cells of rows) body.insertRow().append(...cells.map((cell) => create("td", cell)));
  return table;
};
const scrolled = (table) => {
  const holder = create("div", "", { class: "scroll", tabindex: "0" });
  holder.append(table);
  return holder;
};
