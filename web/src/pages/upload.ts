import { Problem, type ProblemBody, Unreachable } from "../api/client";
import { renew, session } from "../api/session";

export interface Sending {
  id: string;
  name: string;
  size: number;
  /** 0 to 1. */
  done: number;
  error?: unknown;
}

/** Sends a file as it flows from the disk; tells how far it is, which `fetch` can't. */
export async function upload(file: File, bucket: string, onProgress: (done: number) => void): Promise<void> {
  const status = await attempt(file, bucket, onProgress);
  if (status === 401 && (await renew())) {
    const second = await attempt(file, bucket, onProgress);
    if (second === 401) throw new Problem({ type: "unauthorized", title: "Unauthorized", status: 401, detail: "" });
  }
}

function attempt(file: File, bucket: string, onProgress: (done: number) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/files/upload");
    request.setRequestHeader("authorization", `Bearer ${session.get().token}`);
    request.setRequestHeader("accept", "application/json");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Unreachable("The kernel does not answer."));
    request.onload = () => {
      if (request.status < 300 || request.status === 401) return resolve(request.status);
      try {
        reject(new Problem(JSON.parse(request.responseText) as ProblemBody));
      } catch {
        reject(new Error(`HTTP ${request.status}`));
      }
    };
    const form = new FormData();
    form.append("bucket", bucket);
    form.append("file", file);
    request.send(form);
  });
}
