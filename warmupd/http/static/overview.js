// Hours are the server's to draw: who has set no zone is shown those of the browser's.
"use strict";

const charts = document.querySelector("[data-charts]");
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (charts && here && !document.body.dataset.zone && charts.dataset.charts !== here) {
  charts.dataset.refresh += `&zone=${encodeURIComponent(here)}`;
  fetch(charts.dataset.refresh, { headers: { "X-Fragment": "1" } })
    .then((answer) => (answer.ok && !answer.redirected ? answer.text() : Promise.reject(new Error(String(answer.status)))))
    .then((text) => { charts.innerHTML = text; })
    .catch(() => { charts.dataset.stale = "yes"; });
}
