// SPDX-License-Identifier: MIT
// Draws the page's plots with Observable Plot, each when it comes into view and again when its width changes.
// What a plot shows is JSON inside it, from plots.py; its height and its colours are the style sheet's.
"use strict";
{
  const ROW = 22, LANES = 7, APART = 44; // pixels from row to row, lanes of dots in a row, pixels between two labels
  const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [0, "ns"]];
  const FORMATS = {
    times: ratio => `${+ratio.toPrecision(3)}x`,
    duration: ns => {
      const [size, unit] = UNITS.find(([size]) => ns >= 0.9995 * size);
      return `${+(ns / (size || 1)).toPrecision(3)} ${unit}`;
    },
  };
  const color = name => `var(--${name})`;
  const unity = {stroke: color("soft"), strokeDasharray: "3 3"};

  // The library's ticks that a label has room for: powers of ten first, then those of coarse steps.
  function ticks(domain, width) {
    const scale = d3.scaleLog(domain, [0, width]), chosen = [];
    const powers = scale.ticks().filter(tick => Number.isInteger(Math.log10(tick)));
    for (const tick of [...powers, ...scale.ticks(4), ...scale.ticks()])
      if (chosen.every(other => Math.abs(scale(other) - scale(tick)) >= APART)) chosen.push(tick);
    return chosen;
  }

  // Dots in lanes, so that neighbours do not hide each other; above them their median, and the interval around it.
  function distribution({name, values, row = 0, median, interval}) {
    const top = ROW * row, lane = (_, index) => top + 3 + 3 * ((index * 3) % LANES);
    return [
      Plot.dot(values, {x: value => value, y: lane, r: 2, fill: color(name), stroke: "none"}),
      interval && Plot.ruleY([interval], {x1: "0", x2: "1", y: top + 12, stroke: color("ink"), strokeWidth: 2}),
      median && Plot.ruleX([median], {y1: top + 2, y2: top + 22, stroke: color("median"), strokeWidth: 2}),
    ];
  }

  function strip({domain, format, groups, floor}, width, height) {
    const shown = ticks(domain, width);
    return {
      x: {type: "log", domain, range: [0, width], clamp: true, axis: null},
      y: {domain: [0, height], range: [0, height], axis: null},
      marks: groups ? [
        Plot.ruleX(shown, {stroke: color("rule")}),
        Plot.ruleX(format === "times" ? [1] : [], unity),
        Plot.ruleX(floor ? [floor] : [], {stroke: color("ink"), strokeDasharray: "2 3"}),
        groups.map(distribution),
      ] : [Plot.axisX(shown, {anchor: "top", text: FORMATS[format], tickSize: 0, dy: 14})],
    };
  }

  // Values that follow each other, the last one marked.
  function course({domain, values}) {
    const last = values.length - 1;
    return {
      x: {domain: [0, Math.max(1, last)], axis: null},
      y: {type: "log", domain, clamp: true, axis: null},
      marks: [
        Plot.ruleY([1], unity),
        Plot.lineY(values, {stroke: color("ours")}),
        Plot.dot(values.slice(-1), {x: [last], y: value => value, r: 2.5, fill: color("ours"), stroke: "none"}),
      ],
    };
  }

  function draw(place, {width, height}) {
    if (!width) return; // not shown at all
    const data = JSON.parse(place.querySelector("script").textContent);
    const options = data.values ? course(data) : strip(data, width, height);
    place.querySelector("svg")?.remove();
    place.append(Plot.plot({width, height, margin: 0, ...options}));
  }

  const sizes = new ResizeObserver(changes => changes.forEach(change => draw(change.target, change.contentRect)));
  const views = new IntersectionObserver(changes => changes.filter(change => change.isIntersecting).forEach(change => {
    views.unobserve(change.target);
    sizes.observe(change.target);
  }), {rootMargin: "300px"});
  const places = document.querySelectorAll(".picture");
  document.documentElement.classList.add("drawing");
  places.forEach(place => views.observe(place));
  addEventListener("beforeprint", () => places.forEach(place => draw(place, place.getBoundingClientRect())));
}
