// <time data-local datetime="…">: show the instant in the reader's own zone, keep UTC in the title.
import { fresh } from "./bind.js";

const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function bindTimes(root) {
  for (const time of fresh(root, "time[data-local]", "times")) {
    const instant = new Date(time.dateTime);
    if (Number.isNaN(instant.valueOf())) continue;
    time.title = time.textContent;
    time.textContent = format.format(instant);
  }
}
