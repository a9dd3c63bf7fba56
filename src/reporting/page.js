"use strict";
// The controls of the page: they sort and filter tables, and choose the option by which runs are coloured and ordered
// and the quantity that charts show. Each group of runs has controls of its own, and its data in a JSON script.

const PLOTLY = {
  responsive: true,
  displayModeBar: "hover",
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "sendChartToCloud"],
};

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Numbers by size, text with its digits as numbers; empty values come last in either direction.
function compare(a, b, direction) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const x = Number(a), y = Number(b);
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  return direction * order;
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.ariaSort === "ascending" ? -1 : 1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.ariaSort = direction === 1 ? "ascending" : "descending";
      const value = (row) => row.cells[column].dataset.v;
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b), direction));
      table.tBodies[0].append(...rows);
    });
  });
}

// Adds to the head of each column of choices a menu of its values, which calls `changed`. Returns a test of rows.
function choices(table, changed) {
  const chosen = new Map();
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!("choice" in head.dataset)) return;
    const values = new Set([...table.tBodies[0].rows].map((row) => row.cells[column].dataset.v));
    if (values.size < 2) return;
    const select = element("select");
    select.ariaLabel = `Only ${head.textContent}`;
    select.append(new Option("all", "\0"));
    [...values].sort((a, b) => compare(a, b, 1)).forEach((value) => select.append(new Option(value, value)));
    select.addEventListener("change", () => {
      if (select.value === "\0") chosen.delete(column);
      else chosen.set(column, select.value);
      changed();
    });
    head.append(select);
  });
  return (row) => [...chosen].every(([column, value]) => row.cells[column].dataset.v === value);
}

// The colour that a rule of the style stands for in the theme of the moment, which plotly can't ask for itself.
const probe = element("i");
probe.hidden = true;
document.body.append(probe);
function shade(rule) {
  probe.style.color = rule;
  return getComputedStyle(probe).color;
}

// A copy of a figure in which each rule for a colour is replaced by the colour.
function themed(figure) {
  const isRule = (name, value) => name.endsWith("color") && typeof value === "string" && value.startsWith("var(");
  return JSON.parse(JSON.stringify(figure, (name, value) => (isRule(name, value) ? shade(value) : value)));
}

// The figure of the chosen quantity, with the runs in their colours, and without the runs that are filtered out.
function painted(figure, view) {
  const { data, layout } = themed(figure);
  const colours = view.colours.map(shade);
  const meta = layout.meta && layout.meta[view.quantity];
  data.forEach((trace, i) => {
    if (meta) {
      trace.y = meta.y[i];
      if (meta.error && meta.error[i]) trace.error_y.array = meta.error[i];
    }
    if (trace.meta === "points") {
      trace.marker.color = trace.customdata.map((run) => colours[run]);
      trace.y = trace.y.map((y, k) => (view.shown.has(trace.customdata[k]) ? y : null));
    } else if (trace.meta === "curve") {
      const run = trace.customdata[0];
      trace.line.color = colours[run];
      trace.visible = view.shown.has(run);
    }
  });
  if (meta) {
    layout.yaxis.title.text = meta.title;
    if (meta.range) layout.yaxis.range = meta.range;
    else delete layout.yaxis.range;
  }
  layout.uirevision = view.quantity; // a zoom outlives a change of colours
  return [data, layout];
}

// Lets the reader press one of several buttons; `changed` gets its value of data-`name`.
function oneOf(section, name, changed) {
  const buttons = [...section.querySelectorAll(`button[data-${name}]`)];
  const press = (button) => {
    buttons.forEach((each) => each.setAttribute("aria-pressed", each === button));
    changed(button.dataset[name]);
  };
  buttons.forEach((button) => button.addEventListener("click", () => press(button)));
  if (buttons.length) press(buttons[0]);
}

// Puts the cards in rows: a row for each setting of the other knobs, ordered by the chosen knob. Of several seeds the
// first is shown.
function arrange(section, state, knob, shown) {
  const holder = section.querySelector(".cards");
  if (!holder) return;
  const cards = [...holder.querySelectorAll("article")].sort((a, b) => a.dataset.run - b.dataset.run);
  const others = Object.keys(state.knobs).filter((name) => name !== knob && name !== "seed");
  const order = state.knobs[knob].legend.map(([word]) => word);
  const rows = new Map();
  for (const card of cards) {
    const run = Number(card.dataset.run);
    const word = state.knobs[knob].texts[run];
    const setting = others.map((name) => `${name} = ${state.knobs[name].texts[run]}`).join(" · ");
    const chip = element("i");
    chip.style.background = state.knobs[knob].of[run];
    card.querySelector("h4").replaceChildren(chip, `${knob} = ${word}`);
    if (!rows.has(setting)) rows.set(setting, new Map());
    const row = rows.get(setting);
    card.hidden = !shown.has(run) || row.has(word);
    if (!card.hidden) row.set(word, card);
    else holder.append(card);
  }
  const strips = [...rows].filter(([, members]) => members.size).map(([setting, members]) => {
    const strip = element("div", undefined, "strip");
    if (setting) strip.append(element("h5", setting));
    const line = element("div", undefined, "line");
    line.append(...order.filter((word) => members.has(word)).map((word) => members.get(word)));
    strip.append(line);
    return strip;
  });
  holder.replaceChildren(...strips, ...cards.filter((card) => card.hidden));
}

// Marks on the box of a table the edges beyond which there is more of it; the style draws them.
function hint(scroll) {
  const mark = () => {
    const { scrollLeft: x, scrollTop: y, clientWidth: width, clientHeight: height } = scroll;
    const right = scroll.scrollWidth - width - x, bottom = scroll.scrollHeight - height - y;
    const hidden = Object.entries({ left: x, right, top: y, bottom }).filter(([, length]) => length > 1);
    scroll.parentElement.dataset.more = hidden.map(([edge]) => edge).join(" ");
  };
  scroll.addEventListener("scroll", mark, { passive: true });
  const watcher = new ResizeObserver(mark);
  watcher.observe(scroll);
  watcher.observe(scroll.querySelector("table"));
}

// Sets up a group but its charts. Returns `start`, which has each chart drawn once it scrolls into view, and `redraw`.
function group(section) {
  const state = JSON.parse(section.querySelector("script").textContent);
  const plots = [...section.querySelectorAll(".plot")];
  const seen = new Set();
  const table = section.querySelector("table.runs");
  const view = { quantity: "elbo", colours: [], shown: new Set(state.names.keys()) };
  const draw = (plot) => Plotly.react(plot, ...painted(state.charts[plot.dataset.figure], view), PLOTLY);
  const redraw = () => seen.forEach(draw);
  const drawAll = () => {
    plots.forEach((plot) => seen.add(plot));
    redraw();
  };

  const select = section.querySelector("select.knob");
  const colour = () => {
    const knob = state.knobs[select.value];
    view.colours = knob.of;
    section.querySelector(".legend").replaceChildren(
      ...knob.legend.map(([word, shade]) => {
        const item = element("li", word);
        const chip = element("i");
        chip.style.background = shade;
        item.prepend(chip);
        return item;
      }),
    );
    arrange(section, state, select.value, view.shown);
    redraw();
  };
  Object.keys(state.knobs).forEach((name) => select.append(new Option(name, name)));
  if ("beta" in state.knobs) select.value = "beta";
  select.addEventListener("change", colour);

  const search = section.querySelector("input[type=search]");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      const run = Number(row.dataset.run);
      row.hidden = !(chosen(row) && words.every((word) => text.includes(word)));
      if (row.hidden) view.shown.delete(run);
      else view.shown.add(run);
    }
    arrange(section, state, select.value, view.shown);
    const all = view.shown.size === state.names.length;
    section.querySelector(".matches").textContent = all ? "" : `${view.shown.size} of ${state.names.length} runs`;
    redraw();
  };
  const chosen = choices(table, filter);
  search.addEventListener("input", filter);

  colour();
  oneOf(section, "quantity", (quantity) => {
    view.quantity = quantity;
    section.querySelectorAll(".matrix").forEach((each) => { each.hidden = each.dataset.quantity !== quantity; });
    redraw();
  });
  oneOf(section, "kind", (kind) => {
    section.querySelector(".cards").dataset.kind = kind;
  });
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting || seen.has(target)) continue;
        seen.add(target);
        watcher.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "300px" },
  );
  return { start: () => plots.forEach((plot) => watcher.observe(plot)), redraw, drawAll };
}

document.querySelectorAll("table.runs, table.settings").forEach(sortable);
document.querySelectorAll(".scroll").forEach(hint);
const groups = [...document.querySelectorAll(".group")].map(group);

const root = document.documentElement;
const redraw = () => groups.forEach((each) => each.redraw());
oneOf(document.querySelector("header"), "theme", (theme) => {
  root.dataset.theme = theme;
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
// paper is light, and shows the charts too that have not been scrolled to
addEventListener("beforeprint", () => {
  root.dataset.paper = "";
  if (window.Plotly) groups.forEach((each) => each.drawAll());
});
addEventListener("afterprint", () => {
  delete root.dataset.paper;
  redraw();
});
// plotly takes a second to evaluate, so it is loaded after the page is shown
addEventListener("load", () =>
  setTimeout(() => {
    document.head.append(element("script", document.getElementById("plotly").textContent));
    groups.forEach((each) => each.start());
  }, 50),
);
