"use strict";
// Sorting: a button in each heading; rows without a value come last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "↕";
    button.setAttribute("aria-label", `sort by ${head.innerText.replace(/\s+/g, " ").trim()}`);
    head.append(button); // placed by the style sheet, in space that is reserved
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return up ? order : -order;
      };
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}
// Filters: rows whose text holds every word, with the chosen kind of weights.
for (const form of document.querySelectorAll("form.filters")) {
  form.hidden = false;
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const weights = form.elements.weights ? form.elements.weights.value : "";
    let count = 0;
    for (const row of document.querySelectorAll("table.sortable tbody tr")) {
      const text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word)) || (weights !== "" && row.dataset.weights !== weights);
      count += !row.hidden;
    }
    form.querySelector("[role=status]").textContent = `${count} ${count === 1 ? "row" : "rows"}`;
  });
}
