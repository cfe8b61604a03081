// SPDX-License-Identifier: MIT
// Draws what the data-plot of an element says, when it comes near the window or changes its width.
"use strict";
(() => {
  const lanes = 7; // neighbours do not hide each other
  const rule = (x, color, dashes) => Plot.ruleX([x], {stroke: color, strokeDasharray: dashes});
  const number = d3.format(".3~r");
  const units = {
    x: value => number(value) + "x",
    ns: value => {
      const [size, name] = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]].find(([size]) => value >= size) || [1, "ns"];
      return `${number(value / size)} ${name}`;
    },
  };

  function row({color, values, median, interval}, y) {
    const marks = [Plot.dot(values, {
      x: value => value, y: (_, i) => y + 0.25 + (i * 3 % lanes) / lanes / 2, r: 2, fillOpacity: 0.6,
      fill: {value: (_, i) => `var(--${typeof color === "string" ? color : color[i]})`, scale: null},
    })];
    if (interval?.length === 2)
      marks.push(Plot.ruleY([interval], {y: () => y + 0.5, x1: d => d[0], x2: d => d[1], stroke: "var(--ink)", strokeWidth: 2}));
    if (median)
      marks.push(Plot.ruleX([median], {y1: () => y + 0.08, y2: () => y + 0.92, stroke: "var(--ink)", strokeWidth: 2}));
    return marks;
  }

  const kinds = {
    strip: ({domain, rows, unity, floor}) => ({
      x: {type: "log", domain, clamp: true, axis: null},
      y: {domain: [rows.length, 0], axis: null},
      marks: [
        Plot.gridX({ticks: apart(domain), stroke: "var(--rule)", strokeOpacity: 1}),
        unity && rule(unity, "var(--soft)", "3 3"),
        floor && rule(floor, "var(--ink)", "2 3"),
        ...rows.flatMap(row),
      ],
    }),
    ticks: ({domain, unit}) => ({
      x: {type: "log", domain, axis: null},
      marks: [Plot.axisX(apart(domain), {tickSize: 0, tickFormat: units[unit], fill: "var(--soft)"})],
      marginBottom: 17,
    }),
    course: ({domain, values}) => ({
      x: {domain: [0, Math.max(1, values.length - 1)], axis: null},
      y: {type: "log", domain, clamp: true, axis: null},
      marks: [
        Plot.lineY(values, {x: (_, i) => i, y: value => value, stroke: "var(--ours)"}),
        Plot.dot(values.slice(-1), {x: values.length - 1, y: value => value, r: 2.5, fill: "var(--ours)"}),
      ],
    }),
  };

  // Round numbers, the roundest first, so far apart that their labels do not touch.
  function apart(domain) {
    const place = d3.scaleLog(domain, [0, 1]);
    const digits = value => (+value.toPrecision(6)).toExponential().replace(/\.|e.*/g, "");
    const roundness = value => 3 * digits(value).length - (digits(value) === "1") - /[125]$/.test(digits(value));
    return place.ticks(12).sort((a, b) => roundness(a) - roundness(b)).reduce((kept, value) =>
      kept.every(other => Math.abs(place(other) - place(value)) > 0.15) ? [...kept, value] : kept, []);
  }

  function draw(element) {
    const {kind, height, ...data} = JSON.parse(element.dataset.plot);
    const made = Plot.plot({
      width: element.clientWidth, height, margin: 0, style: {background: "none", overflow: "visible"}, ...kinds[kind](data),
    });
    made.setAttribute("aria-hidden", "true");
    element.replaceChildren(made);
  }

  const drawn = new Map();
  const sizes = new ResizeObserver(entries => entries.forEach(({target}) => {
    if (target.clientWidth && drawn.get(target) !== target.clientWidth) {
      drawn.set(target, target.clientWidth);
      draw(target);
    }
  }));
  const near = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(({target}) => {
    near.unobserve(target);
    sizes.observe(target);
  }), {rootMargin: "600px"});
  const all = [...document.querySelectorAll("[data-plot]")];
  all.forEach(element => near.observe(element));
  addEventListener("beforeprint", () => all.forEach(draw));
})();
