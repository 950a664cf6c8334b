import { blob } from "../api/client";
import { tellProblem } from "./toast";

/** Lets the browser keep what is at an address, under a name. */
export function keep(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

/** Fetches a file of the API with the person's rights, and keeps it; a refusal is told. */
export async function save(address: string, name: string): Promise<void> {
  try {
    const url = URL.createObjectURL(await blob(address));
    keep(url, name);
    URL.revokeObjectURL(url);
  } catch (error) {
    tellProblem(error);
  }
}
