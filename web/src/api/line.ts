/** The kernel's websocket: what happens is told as it happens, to whoever may know it at that moment. */

/** As much of a WebSocket as is used, so that a test can stand in for the kernel. */
export interface Wire {
  send(text: string): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

export interface Ends {
  /** The access token of now. */
  token: () => string | null;
  /** Gets a fresh one; false when the session has ended. */
  renew: () => Promise<boolean>;
  /** Something was told on the channel. */
  told: (event: unknown) => void;
  /** From now on everything is told. */
  live: () => void;
  /** Nothing is told any more; `refused` when asking again would change nothing. */
  over: (refused: boolean) => void;
}

type Said =
  | { type: "auth_required" | "auth_ok" | "pong" }
  | { type: "subscribed" | "unsubscribed"; channels: string[] }
  | { type: "event"; event: unknown };

/** The kernel hangs up on whoever says nothing for 30 s. */
const PING_MS = 12_000;

export const wire = (): Wire => new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/v1/ws`) as Wire;

/** Listens to one channel until told to stop. Does not come again by itself: whoever listens knows when that is of use. */
export function listen(channel: string, ends: Ends, open: () => Wire = wire): () => void {
  const socket = open();
  let asked = 0;
  let done = false;
  const say = (what: object) => socket.send(JSON.stringify(what));
  const ping = setInterval(() => asked > 0 && say({ type: "ping" }), PING_MS);
  const end = (refused: boolean) => {
    if (done) return;
    done = true;
    clearInterval(ping);
    ends.over(refused);
    socket.close();
  };
  const introduce = async () => {
    asked += 1;
    // Asked a second time: the token that was sent has ended.
    if (asked > 1 && !(await ends.renew())) return end(false);
    const token = ends.token();
    if (token && !done) say({ type: "auth", token });
    else end(false);
  };
  socket.onmessage = ({ data }) => {
    if (done) return;
    const said = JSON.parse(String(data)) as Said;
    if (said.type === "auth_required") void introduce();
    else if (said.type === "auth_ok") say({ type: "subscribe", channels: [channel] });
    else if (said.type === "subscribed") {
      if (said.channels.includes(channel)) ends.live();
      else end(true);
    } else if (said.type === "unsubscribed") end(true);
    else if (said.type === "event") ends.told(said.event);
  };
  socket.onclose = () => end(false);
  return () => {
    done = true;
    clearInterval(ping);
    socket.close();
  };
}
