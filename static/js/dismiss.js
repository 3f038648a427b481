// <button data-dismiss>: remove the message that the button stands in.
import { fresh } from "./bind.js";

export function bindDismiss(root) {
  for (const button of fresh(root, "button[data-dismiss]", "dismiss")) {
    button.addEventListener("click", () => button.closest(".alert")?.remove());
  }
}
