"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  // A button in the head of each column sorts the rows; a field above a longer table filters
  // them.
  const enhance = (table) => {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    if (rows.length < 2) return;
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = rows.map((row) => [row.cells[column].textContent, row]);
        keyed.sort(([a], [b]) => (down ? collator.compare(b, a) : collator.compare(a, b)));
        body.append(...keyed.map(([, row]) => row));
      });
    });
    if (rows.length < 5) return;
    const bar = document.createElement("div");
    const label = document.createElement("label");
    const field = document.createElement("input");
    const shown = document.createElement("output");
    bar.className = "filter";
    field.type = "search";
    field.autocomplete = "off";
    label.append("Filter ", field);
    shown.textContent = `${rows.length} rows`;
    bar.append(label, shown);
    const region = table.closest(".scroll");
    region.before(bar);
    let texts = null;
    field.addEventListener("input", () => {
      texts ??= rows.map((row) => row.textContent.toLowerCase());
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let number = 0;
      rows.forEach((row, at) => {
        const hit = words.every((word) => texts[at].includes(word));
        row.hidden = !hit;
        if (hit) number += 1;
      });
      shown.textContent = number === rows.length ? `${number} rows` : `${number} of ${rows.length} rows`;
    });
  };

  const addCopy = (command) => {
    const code = command.querySelector("code");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.append(button);
  };

  document.querySelectorAll("table.sortable").forEach(enhance);
  document.querySelectorAll(".cmd").forEach(addCopy);

  // What is folded is printed too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
})();
