// The atlas page. What it shows is what its address says, so that everything has a link of its own:
//   #  the net    #relu5  a layer's maps    #relu5/17  one map    #relu5/17/3  the third of its nine, in its photo
// and behind these, in any order, /gradient or /guided (deconvnet goes without saying) and /controls.
// It works from disk. The data of a layer come when first needed, by <script src="data/….js">, which calls atlas.add.
"use strict";

const RULES = new Map([ // what a ReLU lets through on the way down, word for word as in minideconv/layers.py
  ["deconvnet", "maximum(signal, 0)"],
  ["gradient", "signal * (y > 0)"],
  ["guided", "signal * (y > 0) * (signal > 0)"],
]);

const MOST_OTHERS = 18; // maps that are shown beside a photo

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
  const layer = find(parts[0]);
  const [map, pair] = parts.slice(1).map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : -1));
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
  const key = level(place), all = {
    net: () => [],
    layer: () => SUMMARY.layers.map((layer) => layer.name),
    map: () => data.get(place.layer).maps.map((map) => map.map),
    pair: () => winners(mapAt(place)).map((k) => k + 1),
  }[key]();
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
const rounded = (n) => (Math.round(100 * n) / 100 || 0).toFixed(2); // not "-0.00"
const activation = (value) => (value ? `activation ${value}` : "not active");
const unitOf = (layer, map, k) => (entry(layer).grid ? `row ${map.row[k]}, column ${map.column[k]}` : "");

function label(layer, map, k, what) { // in words, for those who do not see the picture
  const facts = [photo(map.image[k]), activation(map.value[k]), unitOf(layer, map, k)].filter(Boolean);
  return `${layer} ${kind(layer)} ${map.map}, ${what} ${k + 1} of ${data.get(layer).k}: ${facts.join(", ")}`;
}

// What unit k sees, as [top, left, bottom, right] in its photo. The window, which its pictures show, may hang over.
function windowOf(layer, map, k) {
  const { start, stride, whole, window } = data.get(layer);
  const corner = [map.row[k], map.column[k]].map((n, axis) => (whole[axis] ? 0 : start[axis] + n * stride[axis]));
  return corner.concat(corner.map((n, axis) => n + window[axis]));
}
const corners = ([top, left, bottom, right]) => `${top},${left}–${bottom},${right}`;
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
    crop([k * pitch[1], width, across * pitch[1]],
      [planes.indexOf(plane) * pitch[0], height, planes.length * pitch[0]]);
}

function planesOf(place) { // [row of a sheet, its title, a note]: what is shown of a map, side by side
  const map = mapAt(place), { rows, more } = data.get(place.layer);
  const [random, other] = (map.similar || [null, null]).map((n) => (n === null ? "" : `ρ ${rounded(n)}, `));
  const planes = [[place.rule, "Projection", place.rule], ["patch", "Patch", "what the unit saw"]];
  if (place.controls) planes.push(["random", "Random weights", `${random}same switches`]);
  if (place.controls && map.other !== null) {
    planes.push(["other", `Other ${kind(place.layer)}, ${map.other}`, `${other}same place`]);
  }
  return planes.filter(([row]) => rows.includes(row) || more.includes(row));
}

const figure = (plane, title, note, picture) =>
  make("figure", { "data-plane": plane }, make("figcaption", {}, make("b", {}, title), ` ${note}`), picture);

// --------------------------------------------------------------------------------------------- a layer: all its maps

function drawLayer(place) {
  const { maps, faces: { side, columns, files, patches } } = data.get(place.layer), inFile = columns * 10;
  const faces = new Map(maps.map((map, j) => {
    const n = Math.floor(j / inFile), rows = Math.ceil(Math.min(inFile, maps.length - n * inFile) / columns);
    const row = Math.floor((j % inFile) / columns), column = j % columns;
    const active = `strongest activation ${map.strength}, active in ${percent(map.active)} of the photos`;
    return [map, make("a", {
      class: "face", href: address({ ...place, map: map.map }),
      "data-map": map.map, "data-value": map.strength || "not active",
      "aria-label": `${kind(place.layer)} ${map.map}: ${map.strength ? active : "not active"}`,
      style: `--face:var(--faces-${n});` + crop([column * side, side, columns * side], [row * side, side, rows * side]),
    }, `${map.map}`)];
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
  const map = mapAt(place), { layer } = place, { photos } = SUMMARY;
  $("strength").textContent = map.strength
    ? `strongest activation ${map.strength}, active in ${percent(map.active)} of ${photos} photos`
    : `Not active on any of the ${photos} photos: nothing to project.`;
  for (const id of ["histogram", "blocks", "nine"]) $(id).hidden = !map.strength;
  if (!map.strength) return;
  drawHistogram(map, data.get(layer));
  const to = (k) => address({ ...place, pair: k + 1 });
  $("blocks").replaceChildren(...planesOf(place).map(([plane, title, note]) =>
    figure(plane, title, note, make("div", { class: "nine rove" }, ...winners(map).map((k) => make("a", {
      class: "tile", href: to(k), "data-pair": k + 1,
      style: tile(layer, map, plane, k), "aria-label": label(layer, map, k, title.toLowerCase()),
    }))))));
  const cell = (name, ...inside) => make("td", { "data-name": name }, ...inside);
  $("nine").tBodies[0].replaceChildren(...winners(map).map((k) => make("tr", { "data-pair": k + 1 },
    cell("", `${k + 1}`), cell("", make("a", { href: to(k) }, photo(map.image[k]))),
    cell("activation", `${map.value[k] || "not active"}`),
    cell("row", entry(layer).grid ? `${map.row[k]}` : "–"),
    cell("column", entry(layer).grid ? `${map.column[k]}` : "–"),
    cell("box", corners(clipped(windowOf(layer, map, k)))))));
}

function drawHistogram(map, { maps, histogram: { edges } }) { // the same axis for all maps of a layer
  const some = maps.filter((one) => one.bins.length), low = Math.min(...some.map((one) => one.first));
  const high = Math.max(...some.map((one) => one.first + one.bins.length));
  const bins = edges.slice(low, high).map((_, n) => map.bins[low + n - map.first] || 0), most = Math.max(...bins);
  const weakest = Math.min(...map.value.filter(Boolean)); // of the nine
  $("bars").replaceChildren(...bins.map((count, n) =>
    make("i", { style: `height:${(100 * count) / most}%`, class: edges[low + n + 1] >= weakest ? "top" : "" })));
  const axis = [0, 1, 2, 3, 4].map((n) => +(edges[low] * (edges[high] / edges[low]) ** (n / 4)).toPrecision(2));
  $("axis").replaceChildren(...axis.map((value) => make("span", {}, `${value}`)));
  const words = `Histogram of ${bins.length} bins from ${axis[0]} to ${axis[4]}, the fullest with ${most} photos`;
  $("bars").setAttribute("aria-label", words);
  $("most").textContent = most;
}

// -------------------------------------------------------------------------------------- one of the nine, in its photo

function drawPair(place) {
  const map = mapAt(place), { layer } = place, k = place.pair - 1, image = map.image[k];
  const [height, width] = SUMMARY.input;
  const window = windowOf(layer, map, k), box = clipped(window);
  const facts = [photo(image), activation(map.value[k]), unitOf(layer, map, k), `box ${corners(box)}`];
  $("caption").textContent = facts.filter(Boolean).join(" · ");
  $("picture").style.aspectRatio = `${width}/${height}`;
  $("photo").hidden = !SUMMARY.sections.photos;
  $("photo").alt = `${photo(image)}, as the net saw it`;
  if (SUMMARY.sections.photos) $("photo").src = `photos/${String(image).padStart(SUMMARY.photo_digits, "0")}.jpg`;
  const at = ([top, left, bottom, right]) => `top:${(100 * top) / height}%;left:${(100 * left) / width}%;` +
    `height:${(100 * (bottom - top)) / height}%;width:${(100 * (right - left)) / width}%;`;
  $("over").style.cssText = tile(layer, map, place.rule, k) + at(window);
  $("box").style.cssText = at(box);
  blend();
  $("large").replaceChildren(...planesOf(place).map(([plane, title, note]) => figure(plane, title, note, make("div", {
    class: "tile", role: "img",
    style: tile(layer, map, plane, k), "aria-label": label(layer, map, k, title.toLowerCase()),
  }))));
  drawOthers(place, map, image);
}

function drawOthers(place, map, image) { // of the layers that have been opened
  const all = [...data].flatMap(([layer, { maps }]) =>
    maps.map((one) => ({ layer, one, rank: one.image.indexOf(image) })));
  const others = all.filter(({ one, rank }) => rank >= 0 && one.value[rank] && one !== map)
    .sort((a, b) => a.rank - b.rank);
  const more = others.length > MOST_OTHERS ? `; here are ${MOST_OTHERS}` : "";
  $("also").textContent = `${others.length || "no"} maps of ${[...data.keys()].join(", ")}${more}`;
  $("others").replaceChildren(...others.slice(0, MOST_OTHERS).map(({ layer, one, rank }) => make("a", {
    href: address({ ...place, layer, map: one.map, pair: rank + 1 }),
    "aria-label": label(layer, one, rank, "projection"),
  }, make("span", { class: "tile", style: tile(layer, one, "deconvnet", rank) }),
  `${layer} ${kind(layer)} ${one.map}`)));
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
    if (place.layer !== null && !data.has(place.layer)) await load(entry(place.layer).data);
    if (place.map !== null && SUMMARY.sections.photos) await load("data/photos.js");
  } catch (error) {
    [place, problem] = [parse("", []), error.message];
  }
  if (location.hash !== hash) return; // another address was opened meanwhile
  const missing = (change) => Object.assign(place, change, { lost: true });
  if (place.map !== null && !mapAt(place)) missing({ map: null, pair: null }); // a shared file has only some
  if (place.pair !== null && !winners(mapAt(place)).includes(place.pair - 1)) missing({ pair: null });
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
  const parts = trail(place), { layer, map, pair } = place;
  document.title = `${parts.length ? `${parts.join(" / ")} – ` : ""}${SUMMARY.title} atlas`;
  const crumbs = parts.map((part, n) => {
    const above = { ...place, map: n > 0 ? map : null, pair: null };
    return n < parts.length - 1 ? make("a", { href: address(above) }, `${part}`) : `${part}`;
  });
  $("heading").replaceChildren(...crumbs.flatMap((crumb, n) => (n ? [" / ", crumb] : [crumb])));
  if (!parts.length) $("heading").textContent = "The strongest maps of each layer";
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    const other = beside(place, by);
    $(id).hidden = !other;
    if (other) $(id).href = address(other);
    if (other) $(id).lastChild.textContent = trail(other).pop();
  }
  for (const link of document.querySelectorAll("#layers a")) {
    link.setAttribute("aria-current", link.dataset.layer === layer);
    if (link.dataset.layer === layer) $("layers").scrollLeft = link.offsetLeft - $("layers").clientWidth / 2;
  }
  const count = layer === null ? 0 : data.get(layer).maps.length;
  $("status").textContent = { net: SUMMARY.title, layer: `${count} maps`, map: `map ${map} of ${count}`,
    pair: `picture ${pair} of map ${map}` }[level(place)];
  $("tools").hidden = map === null || !SUMMARY.sections.more;
  document.querySelector(`[name=rule][value=${place.rule}]`).checked = true;
  $("controls").checked = place.controls;
  $("mixed").hidden = !place.controls || place.rule === "deconvnet";
  $("line").textContent = RULES.get(place.rule);
  $("redraw").hidden = map === null;
  if (map !== null) $("command").textContent = command(place);
}

function command(place) { // in the quotes of a shell where those are needed
  const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);
  const map = mapAt(place), k = (place.pair || 1) - 1;
  const name = SUMMARY.files && (names[map.image[k]] || "").replace(/^-/, "./-"); // a file, not an option
  const words = [name ? SUMMARY.command.replace("PHOTO", () => quoted(name)) : SUMMARY.command];
  words.push("--layer", quoted(place.layer), "--channel", map.map);
  if (entry(place.layer).grid) words.push("--position", `${map.row[k]},${map.column[k]}`);
  if (place.rule !== "deconvnet") words.push("--rule", place.rule);
  return words.join(" ");
}

function moveFocus(place, came) {
  if (came ? bare(came) === bare(place) : level(place) === "net") return; // nothing but the rule has changed
  window.scrollTo(0, 0);
  const left = came && bare(up(came)) === bare(place) && `[data-${level(came)}="${CSS.escape(came[level(came)])}"]`;
  const origin = left && $(level(place)).querySelector(left); // on the way up: where one had gone down
  (origin || $("heading")).focus();
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
  const first = { ...here, layer: SUMMARY.layers[0].name };
  const other = here.layer === null ? first : beside({ ...here, map: null, pair: null }, by);
  if (other) location.hash = address(other);
}

function pressed(event) {
  const { key, target } = event, typing = target.matches("input:not([type=radio], [type=checkbox])");
  const shortcut = event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));
  if (shortcut || $("keys").open) return; // with AltGr some keyboards type "["
  if (key === "Escape" && typing) return target.blur();
  if (key === "Escape" && here.layer !== null) location.hash = address(up(here));
  const group = target.closest(".rove");
  if (group && moved(group, target, key)) event.preventDefault();
  if (typing || !$("letters").checked || !Object.hasOwn(KEYS, key)) return;
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
  const links = [...group.querySelectorAll("a")], n = links.indexOf(from), here = from.getBoundingClientRect();
  const spots = links.map((link) => ({ link, box: link.getBoundingClientRect() }));
  const beyond = (sign) => { // the nearest one of the next row, up or down
    const rows = spots.filter(({ box }) => sign * (box.top - here.top) > 1);
    const next = Math.min(...rows.map(({ box }) => sign * box.top));
    const row = rows.filter(({ box }) => sign * box.top < next + 1);
    const away = ({ box }) => Math.abs(box.left - here.left);
    return row.sort((a, b) => away(a) - away(b)).map(({ link }) => link)[0];
  };
  const to = { ArrowLeft: () => links[n - 1], ArrowRight: () => links[n + 1], ArrowUp: () => beyond(-1),
    ArrowDown: () => beyond(1), Home: () => links[0], End: () => links[links.length - 1] }[key];
  const link = to && to();
  if (link) link.focus();
  return link;
}

function mark({ target }) { // the same winner in all blocks and in the table
  const at = target.closest("#map [data-pair]"), pair = at && at.dataset.pair;
  for (const one of document.querySelectorAll("#map [data-pair]")) {
    one.classList.toggle("marked", one.dataset.pair === pair);
  }
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
  $("theme").value = theme;
  $("theme").textContent = `theme: ${theme}`;
}

function start() {
  const on = (id, type, act) => $(id).addEventListener(type, act), themes = ["auto", "light", "dark"];
  paint(stored("theme") || "auto");
  on("theme", "click", () => {
    const next = themes[(themes.indexOf($("theme").value) + 1) % 3];
    stored("theme", next);
    paint(next);
  });
  $("letters").checked = stored("letters") !== "off";
  on("letters", "change", () => stored("letters", $("letters").checked ? "on" : "off"));
  const sort = stored("sort") && document.querySelector(`[name=sort][value=${CSS.escape(stored("sort"))}]`);
  if (sort) sort.checked = true;
  on("options", "change", () => {
    stored("sort", chosen("sort"));
    drawLayer(here);
    rove($("faces"));
  });
  on("tools", "change", () => go({ rule: chosen("rule"), controls: $("controls").checked }));
  on("opacity", "input", blend);
  on("find", "submit", (event) => {
    event.preventDefault();
    const text = $("goto").value.trim(), number = /^\d+$/.test(text) && here.layer !== null;
    location.hash = number ? address({ ...here, map: Number(text), pair: null }) : text;
    $("goto").value = "";
  });
  on("skip", "click", (event) => { // its own "#main" would be an address
    event.preventDefault();
    $("heading").focus();
  });
  on("help", "click", () => $("keys").showModal());
  on("copy-link", "click", () => copy(location.href));
  on("copy-command", "click", () => copy($("command").textContent));
  on("map", "focusin", mark);
  on("map", "pointerover", mark);
  document.addEventListener("focusin", ({ target }) => { if (target.closest(".rove")) rove(target.closest(".rove")); });
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", show);
  show();
}

if (typeof document === "object") document.addEventListener("DOMContentLoaded", start);
