"use strict";
// What a page gains where scripts run: tables to sort, charts to zoom, pictures to compare. All it says is in the HTML.
(() => {
  document.documentElement.classList.add("js");

  const element = (name, attributes = {}, ...inside) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };

  // ---- tables

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
  };

  const missing = (key) => key === "" || key === "-" || key === "diverged";

  const compare = (first, second) => {
    if (missing(first) !== missing(second)) return missing(first) ? Infinity : -Infinity;
    if (typeof first === "number" && typeof second === "number") return first - second;
    return String(first).localeCompare(String(second), "en", { numeric: true });
  };

  const sort = (table, heading, column) => {
    const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    rows.sort(([first], [second]) => {
      const order = compare(first, second);
      return Number.isFinite(order) ? way * order : order; // What has no value stays last, either way.
    });
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = element("button", { type: "button" }, ...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading, column));
      heading.append(button);
    });
  }

  // ---- charts

  const seriesOf = (one) => ({
    label: one.label,
    stroke: one.colour,
    width: one.dots ? 0 : 2,
    spanGaps: true,
    paths: one.dots ? () => null : one.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: one.dots ? { show: true, size: 7, fill: one.colour } : { show: undefined },
    value: (_, value) => (value == null ? "-" : String(value)),
  });

  const written = (value) => {
    if (value == null) return "";
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
    return String(Number(value.toPrecision(5)));
  };

  const wholeSteps = [1, 2, 5].flatMap((step) => [...Array(7).keys()].map((power) => step * 10 ** power)).sort((a, b) => a - b);

  const draw = (holder, data, width) => {
    const axis = (label) => ({ label, stroke: "#222", grid: { stroke: "#e2e2e2", width: 1 }, labelSize: 26, labelFont: "13px sans-serif" });
    const options = {
      width,
      height: Math.round(Math.min(400, Math.max(260, width * 0.45))),
      scales: { x: { time: false }, y: data.log ? { distr: 3 } : {} },
      cursor: { drag: { x: true, y: true, uni: 20 } },
      axes: [
        { ...axis(data.x_name), incrs: wholeSteps },
        { ...axis(data.y_name), size: 76, values: (_, splits) => splits.map(written) },
      ],
      series: [{ label: data.x_name }, ...data.series.map(seriesOf)],
    };
    return new uPlot(options, [data.x, ...data.series.map((one) => one.values)], holder);
  };

  const zoomed = (plot, by, shift) => {
    const { min, max } = plot.scales.x;
    const half = ((max - min) / 2) * by;
    const middle = (min + max) / 2 + shift * (max - min);
    plot.setScale("x", { min: middle - half, max: middle + half });
  };

  const reset = (plot) => plot.setData(plot.data, true);

  for (const figure of document.querySelectorAll(".zoomable")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const title = figure.querySelector("figcaption").textContent;
    const holder = element("div", { class: "zoom", role: "group", "aria-label": `${title}, to zoom in on` });
    figure.querySelector(".drawing").after(holder);
    figure.classList.add("zoomed");
    const plot = draw(holder, data, holder.clientWidth);
    const controls = element("div", { class: "controls" });
    const acts = { "Zoom in": [0.5, 0], "Zoom out": [2, 0], Left: [1, -0.25], Right: [1, 0.25] };
    for (const [name, [by, shift]] of Object.entries(acts)) {
      const button = element("button", { type: "button" }, name);
      button.addEventListener("click", () => zoomed(plot, by, shift));
      controls.append(button);
    }
    const whole = element("button", { type: "button" }, "All");
    whole.addEventListener("click", () => reset(plot));
    controls.append(whole, element("span", { class: "note by-mouse" }, "or drag over a part; double-click for all"));
    holder.after(controls);
    new ResizeObserver(() => {
      const width = holder.clientWidth;
      if (width > 0 && width !== plot.width) plot.setSize({ width, height: plot.height });
    }).observe(holder);
  }

  // ---- pictures

  const said = (value) => {
    if (value === 0) return "grey, as the network sees it";
    if (value === 100) return "as the trial coloured it";
    if (value === 200) return "in its true colours";
    return value < 100 ? `coloured from the left, ${value} %` : `the truth from the left, ${value - 100} %`;
  };

  document.querySelectorAll(".slides").forEach((sheet, number) => {
    const id = `slider-${number}`;
    const slider = element("input", { type: "range", id, min: "0", max: "200", step: "5", value: "100" });
    const output = element("output", { for: id });
    const show = () => {
      const value = Number(slider.value);
      sheet.style.setProperty("--coloured", `${Math.min(value, 100)}%`);
      sheet.style.setProperty("--truth", `${Math.max(value - 100, 0)}%`);
      output.textContent = said(value);
      slider.setAttribute("aria-valuetext", said(value));
    };
    slider.addEventListener("input", show);
    const label = element("label", { for: id }, "grey, coloured, truth");
    sheet.querySelector(".tiles").before(element("div", { class: "controls" }, label, slider, output));
    show();
  });
})();
