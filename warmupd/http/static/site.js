// Times in the viewer's zone, a question before what cannot be undone, and regions that refresh themselves.
"use strict";

const zone = document.body.dataset.zone || undefined;
const forms = {
  short: { dateStyle: "medium", timeStyle: "short" },
  day: { dateStyle: "medium" },
  clock: { hour: "2-digit", minute: "2-digit" },
};

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.getAttribute("datetime"));
    if (Number.isNaN(at.getTime())) continue;
    const form = forms[time.dataset.form] || forms.short;
    time.textContent = new Intl.DateTimeFormat(undefined, { ...form, timeZone: zone }).format(at);
    time.title = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long", timeZone: zone }).format(at);
  }
}

// <section data-refresh="/fragment" data-every="15">: replaced by what the address answers, while the page is looked at.
function refresh(region) {
  const every = Math.max(2, Number(region.dataset.every || 15)) * 1000;
  const look = async () => {
    if (document.hidden || region.contains(document.activeElement) || region.querySelector("details[open]")) return;
    try {
      const answer = await fetch(region.dataset.refresh, { headers: { "X-Fragment": "1" } });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      region.innerHTML = await answer.text();
      region.removeAttribute("data-stale");
      showTimes(region);
    } catch {
      region.dataset.stale = "yes";
    }
  };
  setInterval(look, every);
}

document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.confirm || event.target.dataset.confirm;
  if (asked && !window.confirm(asked)) event.preventDefault();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

showTimes(document);
for (const region of document.querySelectorAll("[data-refresh]")) refresh(region);
