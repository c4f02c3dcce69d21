// The staff view: a PIN opens it; its content is requested again every few seconds, and none of it is stored.

import { find, setPressed, setText } from "./screen.js";
import { post } from "./touch.js";
import { Words } from "./words.js";

const LOOK_MS = 3_000;
const QUIET_MS = 30_000; // a PIN pad without a touch returns to the residents' page
const WHYS = ["checked_by_hand", "no_phone", "emergency", "box_fault"];

const words = new Words(await (await fetch("api/strings")).json());
let touchedAt = performance.now();
let overview = null;
let passageToLetPass = null; // null: the gate alone
let shown = "";
const revealed = new Set();

const text = (key, values) => words.text("staff", key, values);
const isOpen = () => document.body.dataset.door === "open";

function button(label, onClick, { pressed, main, lang } = {}) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  if (lang) element.lang = lang;
  if (main) element.className = "main";
  if (pressed !== undefined) setPressed(element, pressed);
  element.addEventListener("click", onClick);
  return element;
}

function label() {
  document.documentElement.lang = words.language;
  for (const element of document.querySelectorAll("[data-text]")) setText(element, text(element.dataset.text));
  const languages = words.languages.map(([language, name]) =>
    button(name, () => relabel(language), { pressed: language === words.language, lang: language }),
  );
  find("languages").replaceChildren(...languages);
  const keys = [..."123456789"].map((digit) => button(digit, () => press(digit)));
  const erase = button(text("erase"), () => (find("pin").value = find("pin").value.slice(0, -1)));
  find("pad").replaceChildren(...keys, erase, button("0", () => press("0")), button(text("enter"), enter, { main: true }));
  find("reasons").replaceChildren(
    ...WHYS.map((why) => button(text(why), () => act(why))),
    button(text("cancel"), () => find("why").close()),
  );
}

function relabel(language) {
  words.language = language;
  label();
  if (overview) show();
}

function press(digit) {
  if (find("pin").value.length < 12) find("pin").value += digit;
  find("pin").focus(); // so that the next key goes to the field
}

async function enter() {
  const pin = find("pin").value;
  find("pin").value = "";
  if (!pin) return;
  const { status, body } = await post("staff/enter", { pin });
  if (status === 200) await open();
  else setText(find("message"), body?.locked_s ? text("locked", { n: body.locked_s }) : text(status === 403 ? "wrong" : "failed"));
}

async function open() {
  setText(find("message"), "");
  document.body.dataset.door = "open";
  await look();
}

function close() {
  overview = null;
  shown = "";
  revealed.clear();
  find("passages").replaceChildren();
  find("box").replaceChildren();
  if (find("why").open) find("why").close();
  document.body.dataset.door = "closed";
}

async function look() {
  const answer = await fetch("staff/overview");
  if (answer.status !== 200) return close();
  overview = await answer.json();
  show();
}

// Only changed elements are replaced, so that a button stays in place while it is being pressed.
function show() {
  const { passages, report, house } = overview;
  showBox();
  if (document.activeElement !== find("volume")) find("volume").value = report.voice.volume;
  const content = JSON.stringify([passages, house, words.language, [...revealed]]);
  if (content === shown) return;
  shown = content;
  find("passages").replaceChildren(...(passages.length ? passages.map(row) : [empty()]));
  find("house").replaceChildren(
    ...words.languages.map(([language, name]) =>
      button(name, () => change("staff/language", { language }), { pressed: language === house[0], lang: language }),
    ),
  );
}

function empty() {
  const item = document.createElement("li");
  item.textContent = text("none_yet");
  return item;
}

function row(passage) {
  const item = document.createElement("li");
  item.dataset.verdict = passage.verdict;
  const at = document.createElement("time");
  at.textContent = new Date(passage.at).toLocaleTimeString(words.locale, { hour: "2-digit", minute: "2-digit", hour12: false });
  const summary = document.createElement("div");
  summary.className = "text";
  const facts = document.createElement("small");
  facts.textContent = factsOf(passage);
  summary.append(words.text("verdict", passage.verdict), facts);
  item.append(at, summary);
  const hidden = passage.shown.join() !== passage.reasons.join();
  if (hidden && !revealed.has(passage.passage_id)) {
    item.append(button(text("details"), () => { revealed.add(passage.passage_id); show(); }));
  }
  if (passage.verdict !== "admit") item.append(button(text("let_pass"), () => askWhy(passage.passage_id)));
  return item;
}

// Reasons that bystanders must not read are hidden until requested.
function factsOf(passage) {
  const reasons = revealed.has(passage.passage_id) ? passage.reasons : passage.shown;
  const facts = reasons.map((reason) => words.text(words.has("reason", reason) ? "reason" : "staff_reason", reason));
  if (passage.temperature_c !== null) facts.push(`${passage.temperature_c.toFixed(1)} °C`);
  if (passage.mask) facts.push(`${words.text("label", "mask")} ${words.text("mask", passage.mask)}`);
  return facts.join(" · ");
}

function showBox() {
  const { report } = overview;
  const rows = report.view.parts.map((part) => [
    words.text("part", words.has("part", part.name) ? part.name : "other"), text(part.state), part.state === "ok", part.detail,
  ]);
  const linked = report.link.connected;
  rows.push([text("link"), text(linked ? "link_ok" : "link_down"), linked, words.text("freshness", report.view.link.freshness)]);
  rows.push([text("store"), text("waiting", { n: report.outbox.unacknowledged }), true, text("memory", { n: report.rss_mb })]);
  find("box").replaceChildren(
    ...rows.flatMap(([name, state, well, detail]) => {
      const [title, value] = [document.createElement("dt"), document.createElement("dd")];
      title.textContent = name;
      value.textContent = detail ? `${state} (${detail})` : state;
      value.dataset.well = String(well);
      return [title, value];
    }),
  );
}

function askWhy(passageId) {
  passageToLetPass = passageId;
  find("why").showModal();
}

async function act(why) {
  find("why").close();
  const request = passageToLetPass ? ["staff/override", { passage_id: passageToLetPass, why }] : ["staff/gate", { why }];
  const { status, body } = await post(...request);
  setText(find("done"), text(status !== 200 ? "failed" : body.opened ? "opened" : "not_opened"));
  await look();
}

async function change(path, body) {
  const { status } = await post(path, body);
  if (status !== 204) setText(find("done"), text("failed"));
  await look();
}

// Without an answer of the box the view closes, so that it shows nothing outdated.
const orClose = (work) => (...given) => Promise.resolve(work(...given)).catch(close);

find("form").addEventListener("submit", (event) => { event.preventDefault(); orClose(enter)(); });
find("back").addEventListener("click", () => location.assign("/"));
find("leave").addEventListener("click", orClose(async () => { await post("staff/leave"); location.assign("/"); }));
find("gate").addEventListener("click", () => askWhy(null));
find("volume").addEventListener("change", orClose((event) => change("staff/volume", { share: Number(event.target.value) })));
for (const name of ["pointerdown", "keydown"]) addEventListener(name, () => (touchedAt = performance.now()));
setInterval(orClose(() => isOpen() && look()), LOOK_MS);
setInterval(() => { if (!isOpen() && performance.now() - touchedAt > QUIET_MS) location.assign("/"); }, 1_000);

label();
const door = await (await fetch("staff/door")).json();
find("form").hidden = !door.set;
find("shut").hidden = door.set;
if (door.locked_s) setText(find("message"), text("locked", { n: door.locked_s }));
if (door.inside) await orClose(open)();
else find("pin").focus();
