// Adding a mailbox: its provider is told while the address is typed, and what is looked at is shown line by line.
"use strict";

const form = document.getElementById("add");
const address = form.elements.namedItem("email");
const told = document.getElementById("provider");
const results = document.getElementById("results");
const findings = document.getElementById("findings");
const verdict = document.getElementById("verdict");
let asked = "";
let timer = 0;

function say(parent, tag, text, className) {
  const part = document.createElement(tag);
  part.textContent = text;
  if (className) part.className = className;
  parent.append(part);
  return part;
}

function showServers(known) {
  for (const kind of ["smtp", "imap"]) {
    const server = known[kind];
    const values = { host: server?.host || `${kind}.example.com`, port: server?.port || (kind === "smtp" ? 587 : 993), username: server?.username || "the address" };
    for (const [part, value] of Object.entries(values)) form.elements.namedItem(`${kind}_${part}`).placeholder = value;
  }
  const both = known.smtp && known.imap;
  document.getElementById("servers-told").textContent = both ? `${known.smtp.host}, ${known.imap.host}` : known.word ? "not known for this domain: please name them" : "found by themselves for known providers";
  if (known.word && !both) document.getElementById("servers").open = true;
}

function showProvider(known) {
  told.replaceChildren();
  told.classList.toggle("warn", known.tone === "warn");
  if (known.name) say(told, "b", known.name);
  for (const text of [known.advice, known.hint]) if (text) say(told, "span", `${text} `);
  for (const button of document.querySelectorAll("[data-issuer]")) button.classList.toggle("likely", button.dataset.issuer === known.issuer);
  showServers(known);
}

async function look() {
  const value = address.value.trim();
  if (value === asked || !/^[^@\s]+@[^@\s]+\.[^@\s]{2,}$/.test(value)) return;
  asked = value;
  try {
    const answer = await fetch(`/add/provider?address=${encodeURIComponent(value)}`);
    if (answer.ok && !answer.redirected && value === asked) showProvider(await answer.json());
  } catch { /* the form works without */ }
}

function clearErrors() {
  for (const field of form.querySelectorAll(".field.wrong")) {
    field.classList.remove("wrong");
    field.querySelector("input").removeAttribute("aria-invalid");
    const hint = field.querySelector(".hint");
    if (hint) hint.textContent = hint.dataset.usual || "";
  }
}

function showErrors(errors) {
  for (const [name, text] of Object.entries(errors)) {
    const input = form.elements.namedItem(name);
    if (!input) continue;
    const field = input.closest(".field");
    field.classList.add("wrong");
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `h-${name}`);
    const hint = field.querySelector(".hint") || say(field, "p", "", "hint");
    hint.dataset.usual ??= hint.textContent;
    hint.textContent = text;
    hint.id = `h-${name}`;
    const closed = field.closest("details");
    if (closed) closed.open = true;
  }
  form.querySelector("[aria-invalid]")?.focus();
  results.hidden = true;
}

function showFinding(one) {
  const item = document.createElement("li");
  item.className = one.grade;
  say(item, "b", one.check);
  const text = say(item, "span", one.text);
  if (one.remedy && one.grade !== "ok") say(text, "span", one.remedy, "remedy");
  findings.append(item);
}

function end(text, tone, remedy, link) {
  verdict.replaceChildren();
  verdict.className = `verdict note ${tone}`;
  say(verdict, "span", text);
  if (remedy) say(verdict, "span", remedy, "remedy");
  if (link) {
    const place = say(verdict, "span", "", "remedy");
    const anchor = say(place, "a", "See this mailbox");
    anchor.href = link;
    place.append(", or add the next one.");
  }
  verdict.scrollIntoView({ block: "nearest" });
}

function done(line) {
  if (line.id === null) { end("Both servers let us in. It is not saved yet.", "good"); return; }
  end(`${line.address} takes part. It begins within a minute, while its window is open.`, "good", "", `/mailboxes/${line.id}`);
  form.reset();
  document.getElementById("servers").open = false;
  asked = "";
  showProvider({});
}

function take(line) {
  if (line.errors) showErrors(line.errors);
  else if (line.problem) end(line.problem, "bad", line.remedy);
  else if (line.done) done(line);
  else showFinding(line);
}

async function lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const part = await reader.read();
    const texts = (rest + (part.value || "")).split("\n");
    rest = texts.pop();
    for (const text of texts) take(JSON.parse(text));
    if (part.done) return;
  }
}

async function submit(event) {
  if (event.submitter?.hasAttribute("formaction")) return;
  event.preventDefault();
  const data = new FormData(form, event.submitter);
  clearErrors();
  findings.replaceChildren();
  results.hidden = false;
  end("Looking ...", "soft");
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await fetch("/add", { method: "POST", body: new URLSearchParams(data), headers: { Accept: "application/x-ndjson" } });
    if (answer.redirected) { location.assign("/add"); return; }
    if ((answer.headers.get("Content-Type") || "").startsWith("application/x-ndjson")) await lines(answer);
    else { const problem = await answer.json(); end(problem.detail, "bad", problem.remedy); }
  } catch {
    end("The server did not answer.", "bad", "Look at the list of mailboxes whether it was saved, or try again.");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

address.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 400); });
address.addEventListener("change", look);
form.addEventListener("submit", submit);
look();
