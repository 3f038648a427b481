// <button data-copy="text">: put the text on the clipboard and say so.
import { fresh } from "./bind.js";

export function bindCopy(root) {
  for (const button of fresh(root, "button[data-copy]", "copy")) {
    button.addEventListener("click", async () => {
      const said = button.getAttribute("aria-label");
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.setAttribute("aria-label", button.dataset.copied || "Copied");
        button.classList.add("tone-success", "copied");
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling ?? button);
      }
      setTimeout(() => {
        if (said) button.setAttribute("aria-label", said);
        button.classList.remove("tone-success", "copied");
      }, 2000);
    });
  }
}
