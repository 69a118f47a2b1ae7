// The atlas page. What it shows is what its address says, so that everything has a link of its own:
//   #  the net    #relu5  a layer's maps    #relu5/17  one map    #relu5/17/3  the third of its nine, in its photo
// and behind these, in any order, /gradient or /guided (deconvnet goes without saying) and /controls.
// It works from disk. The data of a layer come when first needed, by <script src="data/….js">, which calls atlas.add.
"use strict";

const RULES = new Map([ // what a ReLU lets through on the way down, word for word as in minideconv/layers.py
  ["deconvnet", "maximum(signal, 0)"],
  ["gradient", "signal * (step.y > 0)"],
  ["guided", "signal * (step.y > 0) * (signal > 0)"],
]);

// ---------------------------------------------------------------------------------------------------- addresses

// "#relu5/17/3/guided" -> a place, as deep as the address makes sense; `lost` if it did not to its end.
function parse(hash, known) {
  const place = { layer: null, map: null, pair: null, rule: "deconvnet", controls: false, lost: false };
  const parts = [], find = (name) => known.find((layer) => layer.name === name);
  for (const part of hash.replace(/^#/, "").split("/").filter(Boolean).map(decoded)) {
    if (parts.length && RULES.has(part)) place.rule = part;
    else if (parts.length && part === "controls") place.controls = true;
    else parts.push(part);
  }
  const [, name, number] = /^(.*):(\d+)$/s.exec(parts[0]) || []; // relu5:17, as others write it
  if (!find(parts[0]) && find(name)) parts.splice(0, 1, name, number);
  const layer = find(parts[0]), [map, pair] = parts.slice(1).map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : -1));
  if (layer) place.layer = layer.name;
  if (layer && map >= 0 && map < layer.maps) place.map = map;
  if (place.map !== null && pair >= 1) place.pair = pair;
  place.lost = parts.length > trail(place).length;
  return place;
}

function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

function address(place) {
  const parts = trail(place).map(encodeURIComponent);
  if (parts.length && place.rule !== "deconvnet") parts.push(place.rule);
  if (parts.length && place.controls) parts.push("controls");
  return "#" + parts.join("/");
}

const trail = (place) => [place.layer, place.map, place.pair].filter((part) => part !== null);
const level = (place) => ["net", "layer", "map", "pair"][trail(place).length];
const up = (place) => ({ ...place, [level(place)]: null });
const bare = (place) => trail(place).map(encodeURIComponent).join("/");

function beside(place, by) { // the previous or next layer, map or picture, or null
  const key = level(place), all = { net: () => [], layer: () => SUMMARY.layers.map((layer) => layer.name),
    map: () => data.get(place.layer).maps.map((map) => map.map), pair: () => winners(mapAt(place)).map((k) => k + 1) }[key]();
  const other = all[all.indexOf(place[key]) + by];
  return other === undefined ? null : { ...place, [key]: other };
}

// ---------------------------------------------------------------------------------------------------------- data

const data = new Map(), names = {}, loading = {}; // layer -> its data, number of a photo -> its name, path -> promise
const atlas = { add: (layer, given) => data.set(layer, given), photos: (given) => Object.assign(names, given) };

function load(path) {
  loading[path] = loading[path] || new Promise((done, fail) => {
    const script = make("script", { src: url(path) });
    script.onload = done;
    script.onerror = () => fail(new Error(`${path} cannot be read. Is the folder of the atlas complete?`));
    document.head.append(script);
  });
  return loading[path];
}

const url = (path) => INLINE[path] || path.split("/").map(encodeURIComponent).join("/");
const entry = (layer) => SUMMARY.layers.find((one) => one.name === layer);
const mapAt = (place) => data.get(place.layer).maps.find((map) => map.map === place.map);
const winners = (map) => [...map.image.keys()].filter((k) => map.image[k] >= 0); // there may be fewer than nine photos
const kind = (layer) => (entry(layer).grid ? "map" : "unit");
const photo = (image) => names[image] || `photo ${image}`;
const percent = (share) => `${+(100 * share).toPrecision(3)} %`;
const activation = (value) => (value ? `activation ${value}` : "not active");
const unitOf = (layer, map, k) => (entry(layer).grid ? `row ${map.row[k]}, column ${map.column[k]}` : "");

function label(layer, map, k, what) { // in words, for those who do not see the picture
  const facts = [photo(map.image[k]), activation(map.value[k]), unitOf(layer, map, k)].filter(Boolean);
  return `${layer} ${kind(layer)} ${map.map}, ${what} ${k + 1} of ${data.get(layer).k}: ${facts.join(", ")}`;
}

// What unit k sees, as [top, left, bottom, right] in its photo: the window that its pictures show may hang over.
function windowOf(layer, map, k) {
  const { start, stride, whole, window } = data.get(layer);
  const corner = [map.row[k], map.column[k]].map((n, axis) => (whole[axis] ? 0 : start[axis] + n * stride[axis]));
  return corner.concat(corner.map((n, axis) => n + window[axis]));
}
const clipped = (box) => box.map((n, side) => Math.min(Math.max(n, 0), SUMMARY.input[side % 2]));

// ------------------------------------------------------------------------------------------------------ elements

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) { // text stays text: the names of photos may hold anything
  const element = document.createElement(tag);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.append(...children);
  return element;
}

// One picture of a sheet as the background of an element of any size, hence in percent.
function crop([left, width, sheetWidth], [top, height, sheetHeight]) {
  const at = (offset, free) => (offset ? `${(100 * offset) / free}%` : "0%");
  return `background-size:${(100 * sheetWidth) / width}% ${(100 * sheetHeight) / height}%;` +
    `background-position:${at(left, sheetWidth - width)} ${at(top, sheetHeight - height)};`;
}

function tile(layer, map, plane, k) { // the style of one of the nine
  const { tile: [height, width], pitch, rows, more, folder, digits, ext, k: across } = data.get(layer);
  const [end, planes] = rows.includes(plane) ? ["", rows] : ["-more", more];
  const file = url(`${folder}/${String(map.map).padStart(digits, "0")}${end}.${ext}`);
  return `background-image:url("${file}");image-rendering:${Math.max(height, width) < 48 ? "pixelated" : "auto"};` +
    `aspect-ratio:${width}/${height};` +
    crop([k * pitch[1], width, across * pitch[1]], [planes.indexOf(plane) * pitch[0], height, planes.length * pitch[0]]);
}

function planesOf(place) { // [row of a sheet, its title, a note]: what is shown of a map, side by side
  const map = mapAt(place), rho = (map.similar || [null, null]).map((n) => (n === null ? "" : `ρ ${n.toFixed(2)}, `));
  return [
    [place.rule, "Projection", place.rule],
    ["patch", "Patch", "what the unit saw"],
    place.controls && ["random", "Random weights", `${rho[0]}same switches`],
    place.controls && map.other !== null && ["other", `Other ${kind(place.layer)}, ${map.other}`, `${rho[1]}same place`],
  ].filter((plane) => plane && [...data.get(place.layer).rows, ...data.get(place.layer).more].includes(plane[0]));
}

const figure = ([plane, title, note], picture) =>
  make("figure", { "data-plane": plane }, make("figcaption", {}, make("b", {}, title), ` ${note}`), picture);

// --------------------------------------------------------------------------------------------- a layer: all its maps

function drawLayer(place) {
  const { maps, faces: { side, columns, files, patches } } = data.get(place.layer), inFile = columns * 10;
  const faces = new Map(maps.map((map, j) => {
    const n = Math.floor(j / inFile), rows = Math.ceil(Math.min(inFile, maps.length - n * inFile) / columns);
    const at = crop([(j % columns) * side, side, columns * side], [Math.floor((j % inFile) / columns) * side, side, rows * side]);
    const words = map.strength ? `strongest activation ${map.strength}, active in ${percent(map.active)} of the photos` : "not active";
    return [map, make("a", { class: "face", href: address({ ...place, map: map.map }), "data-map": map.map,
      "data-value": map.strength || "not active", "aria-label": `${kind(place.layer)} ${map.map}: ${words}`,
      style: `--face:var(--faces-${n});${at}` }, `${map.map}`)];
  }));
  const by = chosen("sort"), order = (a, b) => (by === "index" ? 0 : b[by] - a[by]) || a.map - b.map;
  $("faces").replaceChildren(...maps.slice().sort(order).map((map) => faces.get(map)));
  const shown = chosen("show") === "patch" && patches.length ? patches : files;
  shown.forEach((file, n) => $("faces").style.setProperty(`--faces-${n}`, `url("${url(file)}")`));
  $("show").hidden = !patches.length;
  for (const about of document.querySelectorAll("[data-about]")) about.hidden = about.dataset.about !== place.layer;
}

// ------------------------------------------------------------------------------------------------------- one map

function drawMap(place) {
  const map = mapAt(place), { layer } = place;
  $("strength").textContent = !map.strength ? `Not active on any of the ${SUMMARY.photos} photos: nothing to project.`
    : `strongest activation ${map.strength}, active in ${percent(map.active)} of ${SUMMARY.photos} photos`;
  for (const id of ["histogram", "blocks", "nine"]) $(id).hidden = !map.strength;
  if (!map.strength) return $("blocks").replaceChildren();
  drawHistogram(map, data.get(layer));
  $("blocks").replaceChildren(...planesOf(place).map((plane) => figure(plane, make("div", { class: "nine rove" },
    ...winners(map).map((k) => make("a", { class: "tile", style: tile(layer, map, plane[0], k), "data-pair": k + 1,
      href: address({ ...place, pair: k + 1 }), "aria-label": label(layer, map, k, plane[1].toLowerCase()) }))))));
  const cell = (name, text) => make("td", { "data-name": name }, `${text}`);
  $("nine").tBodies[0].replaceChildren(...winners(map).map((k) => {
    const [top, left, bottom, right] = clipped(windowOf(layer, map, k)), [row, column] = entry(layer).grid ? [map.row[k], map.column[k]] : ["–", "–"];
    return make("tr", { "data-pair": k + 1 }, cell("", k + 1), make("td", {}, make("a", { href: address({ ...place, pair: k + 1 }) }, photo(map.image[k]))),
      cell("activation", map.value[k] || "not active"), cell("row", row), cell("column", column), cell("box", `${top},${left}–${bottom},${right}`));
  }));
}

function drawHistogram(map, { maps, histogram: { edges } }) { // the same axis for all maps of a layer
  const some = maps.filter((one) => one.bins.length);
  const low = Math.min(...some.map((one) => one.first)), high = Math.max(...some.map((one) => one.first + one.bins.length));
  const bins = edges.slice(low, high).map((_, n) => map.bins[low + n - map.first] || 0), most = Math.max(...bins);
  const weakest = Math.min(...map.value.filter(Boolean)), axis = [0, 0.25, 0.5, 0.75, 1].map((part) => low + part * (high - low));
  const value = (place) => +(edges[Math.floor(place)] * (edges[1] / edges[0]) ** (place % 1)).toPrecision(2);
  $("bars").replaceChildren(...bins.map((count, n) =>
    make("i", { style: `height:${(100 * count) / most}%`, class: edges[low + n + 1] >= weakest ? "top" : "" })));
  $("axis").replaceChildren(...axis.map((place) => make("span", {}, `${value(place)}`)));
  $("bars").setAttribute("aria-label", `Histogram of ${bins.length} bins from ${value(low)} to ${value(high)}, the fullest with ${most} photos`);
  $("most").textContent = most;
}

// -------------------------------------------------------------------------------------- one of the nine, in its photo

function drawPair(place) {
  const map = mapAt(place), { layer } = place, k = place.pair - 1, image = map.image[k], [height, width] = SUMMARY.input;
  const box = windowOf(layer, map, k), inside = ([top, left, bottom, right]) => `top:${(100 * top) / height}%;left:${(100 * left) / width}%;` +
    `height:${(100 * (bottom - top)) / height}%;width:${(100 * (right - left)) / width}%;`;
  const [top, left, bottom, right] = clipped(box);
  $("caption").textContent = [photo(image), activation(map.value[k]), unitOf(layer, map, k), `box ${top},${left}–${bottom},${right}`].filter(Boolean).join(" · ");
  $("picture").style.aspectRatio = `${width}/${height}`;
  $("photo").hidden = !SUMMARY.sections.photos;
  $("photo").alt = `${photo(image)}, as the net saw it`;
  if (SUMMARY.sections.photos) $("photo").src = `photos/${String(image).padStart(SUMMARY.photo_digits, "0")}.jpg`;
  $("over").style.cssText = tile(layer, map, place.rule, k) + inside(box);
  blend();
  $("box").style.cssText = inside([top, left, bottom, right]);
  $("large").replaceChildren(...planesOf(place).map((plane) => figure(plane, make("div", { class: "tile", role: "img",
    style: tile(layer, map, plane[0], k), "aria-label": label(layer, map, k, plane[1].toLowerCase()) }))));
  const others = [...data].flatMap(([name, { maps }]) => maps.map((one) => [name, one, one.image.indexOf(image)]))
    .filter(([, one, rank]) => rank >= 0 && one.value[rank] && one !== map).sort((a, b) => a[2] - b[2]);
  $("also").textContent = `${others.length || "no"} maps of ${[...data.keys()].join(", ")}${others.length > 18 ? "; here are 18" : ""}`;
  $("others").replaceChildren(...others.slice(0, 18).map(([name, one, rank]) => make("a", { "aria-label": label(name, one, rank, "projection"),
    href: address({ ...place, layer: name, map: one.map, pair: rank + 1 }) },
  make("span", { class: "tile", style: tile(name, one, "deconvnet", rank) }), `${name} ${kind(name)} ${one.map}`)));
}

function blend() { // the projection over the photo
  $("over").style.opacity = $("opacity").value / 100;
}

// ------------------------------------------------------------------------------------------------- going around

let here = null; // the place that is shown

async function show() {
  const { hash } = location;
  let place = parse(hash, SUMMARY.layers), problem = "";
  try {
    await Promise.all([place.layer !== null && !data.has(place.layer) && load(entry(place.layer).data),
      place.map !== null && SUMMARY.sections.photos && load("data/photos.js")]);
  } catch (error) {
    [place, problem] = [parse("", []), error.message];
  }
  if (location.hash !== hash) return; // another address was opened meanwhile
  if (place.map !== null && !mapAt(place)) Object.assign(place, { map: null, pair: null, lost: true }); // --share has only some
  if (place.pair !== null && !winners(mapAt(place)).includes(place.pair - 1)) Object.assign(place, { pair: null, lost: true });
  if (!SUMMARY.sections.more) Object.assign(place, { rule: "deconvnet", controls: false });
  if (place.lost) problem = `“${decoded(hash.slice(1))}” is not in this atlas; this is the nearest that is.`;
  const came = here;
  here = place;
  say(problem);
  for (const name of ["net", "layer", "map", "pair"]) $(name).hidden = name !== level(place);
  drawHead(place);
  ({ net() {}, layer: drawLayer, map: drawMap, pair: drawPair })[level(place)](place);
  document.querySelectorAll(".rove").forEach(rove);
  moveFocus(place, came);
}

function drawHead(place) {
  const parts = trail(place), all = place.layer === null ? 0 : data.get(place.layer).maps.length;
  document.title = `${parts.concat("").join(" / ").replace(/ \/ $/, " – ")}${SUMMARY.title} atlas`;
  $("heading").replaceChildren(...parts.flatMap((part, n) => {
    const [layer, map = null] = parts.slice(0, n + 1);
    return [n ? " / " : "", n < parts.length - 1 ? make("a", { href: address({ ...place, layer, map, pair: null }) }, `${part}`) : `${part}`];
  }));
  if (!parts.length) $("heading").textContent = "The strongest maps of each layer";
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    const other = beside(place, by);
    $(id).hidden = !other;
    if (!other) continue;
    $(id).href = address(other);
    $(id).lastChild.textContent = `${trail(other).pop()}`;
  }
  for (const link of document.querySelectorAll("#layers a")) {
    link.setAttribute("aria-current", link.dataset.layer === place.layer);
    if (link.dataset.layer === place.layer) $("layers").scrollLeft = link.offsetLeft - $("layers").clientWidth / 2;
  }
  $("status").textContent = { net: SUMMARY.title, layer: `${all} maps`, map: `map ${place.map} of ${all}`, pair: `picture ${place.pair} of map ${place.map}` }[level(place)];
  $("tools").hidden = place.map === null || !SUMMARY.sections.more;
  $("redraw").hidden = place.map === null;
  document.querySelector(`[name=rule][value=${place.rule}]`).checked = true;
  $("controls").checked = place.controls;
  $("mixed").hidden = !place.controls || place.rule === "deconvnet";
  $("line").textContent = RULES.get(place.rule);
  if (place.map !== null) $("command").textContent = command(place);
}

function command(place) { // in the quotes of a shell where those are needed
  const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);
  const map = mapAt(place), k = (place.pair || 1) - 1, name = names[map.image[k]];
  return [name ? SUMMARY.command.replace("PHOTO", () => quoted(name)) : SUMMARY.command, "--layer", quoted(place.layer), "--channel", map.map,
    ...(entry(place.layer).grid ? ["--position", `${map.row[k]},${map.column[k]}`] : []),
    ...(place.rule === "deconvnet" ? [] : ["--rule", place.rule])].join(" ");
}

function moveFocus(place, came) {
  if (came ? bare(came) === bare(place) : level(place) === "net") return; // nothing but the rule has changed
  window.scrollTo(0, 0);
  const left = came && bare(up(came)) === bare(place) && `[data-${level(came)}="${CSS.escape(came[level(came)])}"]`;
  (left && $(level(place)).querySelector(left) || $("heading")).focus(); // on the way up: to where one had gone down
}

const say = (text) => { $("message").textContent = text; };
const go = (change) => location.replace(address({ ...here, ...change })); // no new step for the Back button

// ----------------------------------------------------------------------------------------------- keys and settings

const KEYS = {
  "[": () => $("previous").click(), "]": () => $("next").click(),
  "{": () => leap(-1), "}": () => leap(1),
  1: () => go({ rule: "deconvnet" }), 2: () => go({ rule: "gradient" }), 3: () => go({ rule: "guided" }),
  c: () => go({ controls: !here.controls }),
  "/": () => $("goto").focus(), "?": () => $("keys").showModal(),
};

function leap(by) {
  const other = here.layer === null ? { ...here, layer: SUMMARY.layers[0].name } : beside({ ...here, map: null, pair: null }, by);
  if (other) location.hash = address(other);
}

function pressed(event) {
  const { key, target } = event, typing = target.matches("input:not([type=radio], [type=checkbox])");
  if (((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph")) || event.metaKey || $("keys").open) return;
  if (key === "Escape" && typing) return target.blur();
  if (key === "Escape" && here.layer !== null) location.hash = address(up(here));
  const group = target.closest(".rove"), letter = !typing && stored("letters") !== "off" && Object.hasOwn(KEYS, key);
  if (group && moved(group, target, key)) event.preventDefault();
  if (!letter) return;
  event.preventDefault(); // the "/" must not land in the field that it opens
  KEYS[key]();
}

// A group of links is one stop of the Tab key; arrows move inside.
function rove(group) {
  const links = [...group.querySelectorAll("a")], focused = links.find((link) => link === document.activeElement);
  const stop = focused || links.find((link) => link.tabIndex === 0);
  for (const link of links) link.tabIndex = link === stop ? 0 : -1;
}

function moved(group, from, key) {
  const links = [...group.querySelectorAll("a")], n = links.indexOf(from), at = (link) => link.getBoundingClientRect();
  const rows = [...new Set(links.map((link) => Math.round(at(link).top)))], row = rows.indexOf(Math.round(at(from).top));
  const near = (top) => links.filter((link) => Math.round(at(link).top) === top)
    .sort((a, b) => Math.abs(at(a).left - at(from).left) - Math.abs(at(b).left - at(from).left))[0];
  const to = { ArrowLeft: links[n - 1], ArrowRight: links[n + 1], ArrowUp: near(rows[row - 1]), ArrowDown: near(rows[row + 1]),
    Home: links[0], End: links[links.length - 1] }[key];
  if (to) to.focus();
  return to;
}

function mark({ target }) { // the same winner in all blocks and in the table
  const at = target.closest("#map [data-pair]");
  for (const one of document.querySelectorAll("#map [data-pair]")) one.classList.toggle("marked", Boolean(at) && one.dataset.pair === at.dataset.pair);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text}`);
  } catch { // not everywhere from disk
    say(`To copy: ${text}`);
    getSelection().selectAllChildren($("message"));
  }
}

const chosen = (name) => document.querySelector(`[name=${name}]:checked`).value;

function stored(key, value) { // browsers may forbid it: then settings last as long as the page
  try {
    if (value !== undefined) localStorage.setItem(`minideconv-atlas:${key}`, value);
    return localStorage.getItem(`minideconv-atlas:${key}`);
  } catch { return null; }
}

function paint(theme) {
  document.documentElement.style.colorScheme = theme === "auto" ? "" : theme;
  $("theme").textContent = `theme: ${theme}`;
}

function start() {
  const themes = ["auto", "light", "dark"], on = (id, type, act) => $(id).addEventListener(type, act);
  let theme = stored("theme") || "auto";
  paint(theme);
  on("theme", "click", () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; stored("theme", theme); paint(theme); });
  const sort = document.querySelector(`[name=sort][value="${CSS.escape(stored("sort") || "strength")}"]`);
  if (sort) sort.checked = true;
  $("letters").checked = stored("letters") !== "off";
  on("letters", "change", () => stored("letters", $("letters").checked ? "on" : "off"));
  on("options", "change", () => { stored("sort", chosen("sort")); drawLayer(here); rove($("faces")); });
  on("tools", "change", () => go({ rule: chosen("rule"), controls: $("controls").checked }));
  on("opacity", "input", blend);
  on("find", "submit", (event) => {
    event.preventDefault();
    const text = $("goto").value.trim().replace(/^#/, "");
    location.hash = /^\d+$/.test(text) && here.layer !== null ? address({ ...here, map: Number(text), pair: null }) : text;
    $("goto").value = "";
  });
  on("skip", "click", (event) => { event.preventDefault(); $("heading").focus(); }); // its own "#…" would be an address
  on("help", "click", () => $("keys").showModal());
  on("copy-link", "click", () => copy(location.href));
  on("copy-command", "click", () => copy($("command").textContent));
  on("map", "focusin", mark);
  on("map", "pointerover", mark);
  document.addEventListener("focusin", ({ target }) => { const group = target.closest(".rove"); if (group) rove(group); });
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", show);
  show();
}

if (typeof document === "object") document.addEventListener("DOMContentLoaded", start);
