// Forms: a GET form leaves empty fields out of the address; a POST form is not sent twice; errors get the focus.
import { fresh } from "./bind.js";

export function bindForms(root) {
  for (const form of fresh(root, "form", "forms")) {
    if (form.method === "get") {
      form.addEventListener("formdata", (event) => {
        for (const name of new Set(event.formData.keys())) {
          if (event.formData.getAll(name).every((value) => value === "")) event.formData.delete(name);
        }
      });
    } else {
      form.addEventListener("submit", (event) => {
        if (event.defaultPrevented || !event.submitter || form.target || event.submitter.formTarget) return;
        // After the browser has taken the button's own value.
        setTimeout(() => event.submitter.setAttribute("aria-disabled", "true"));
      });
    }
  }
  for (const wrong of fresh(root, "[aria-invalid='true']", "focus-error").slice(0, 1)) wrong.focus();
}

// Coming back with the back button restores the page as it was left: with its buttons off.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-disabled='true']")) button.removeAttribute("aria-disabled");
});
