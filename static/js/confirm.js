// <form data-confirm="Revoke this key?" data-confirm-button="Revoke">: ask in a dialog before the form is sent.
import { fresh } from "./bind.js";

function ask(question, answer) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("[data-question]").textContent = question;
  dialog.querySelector("[data-yes]").textContent = answer;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function bindConfirm(root) {
  for (const form of fresh(root, "form[data-confirm]", "confirm")) {
    form.addEventListener("submit", async (event) => {
      if (form.dataset.confirmed) {
        delete form.dataset.confirmed;
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      const button = event.submitter;
      if (await ask(form.dataset.confirm, form.dataset.confirmButton || button?.textContent.trim() || "OK")) {
        form.dataset.confirmed = "yes";
        form.requestSubmit(button);
      }
    }, { capture: true });
  }
}
