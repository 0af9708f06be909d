// Choosing many mailboxes: all of the page at a tick, and how many are chosen. Without it, ticks work all the same.
"use strict";

const form = document.getElementById("chosen");
if (form) {
  const all = form.querySelector("[data-all]");
  const every = form.querySelector("[data-every]");
  const told = form.querySelector("[data-count]");
  const boxes = () => [...form.querySelectorAll("input[name=ids]")];

  const show = () => {
    const number = boxes().filter((box) => box.checked).length;
    const whole = every?.checked;
    all.checked = number > 0 && number === boxes().length;
    all.indeterminate = number > 0 && !all.checked;
    told.textContent = whole ? "All that fit:" : number ? `${number} chosen:` : "Choose mailboxes to";
    for (const button of form.querySelectorAll(".bulk button")) button.disabled = !whole && number === 0;
    for (const box of boxes()) box.disabled = Boolean(whole);
  };

  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  window.addEventListener("pageshow", show);
  show();
}
