import { useQueryClient } from "@tanstack/react-query";
import { Download, FileImage, FileText, RotateCcw, Trash2, Upload } from "lucide-react";
import { type DragEvent, useEffect, useRef, useState } from "react";
import { type Answer, api, blob } from "../api/client";
import { usePaged } from "../api/paged";
import { useMay, useSession } from "../api/session";
import { t } from "../text";
import { bytes, full } from "../text/format";
import { Badge, Empty, PageHead, Pairs, Skeleton, type Tone } from "../ui/bits";
import { Button } from "../ui/button";
import { Copy } from "../ui/copy";
import { AskByName, Drawer, FormDialog } from "../ui/dialog";
import { Choice } from "../ui/field";
import { More } from "../ui/list";
import { ProblemNote } from "../ui/problem";
import { keep } from "../ui/save";
import { tell, tellProblem } from "../ui/toast";
import { type Sending, upload } from "./upload";
import { PersonOnly } from "./operator-only";

type File_ = Answer<"/api/v1/files", "get">["data"][number];
type State = File_["state"];
const TONE: Record<string, Tone> = { available: "good", pending_scan: "warn", rejected: "bad", deleted: "bad" };
const BUCKETS = ["documents", "assets", "avatars", "exports"] as const;

export default function Files() {
  const { me } = useSession();
  const queries = useQueryClient();
  const mayWrite = useMay("files.write");
  const [state, setState] = useState<State | "">("");
  const [bucket, setBucket] = useState<string>("");
  const [sending, setSending] = useState<Sending[]>([]);
  const [over, setOver] = useState(false);
  const [open, setOpen] = useState<string | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  const list = usePaged<File_>(
    ["files", state, bucket],
    (cursor, signal) =>
      api.get("/api/v1/files", { query: { limit: 40, cursor, state: state || undefined, bucket: (bucket || undefined) as never }, signal }),
    { enabled: me !== null },
  );
  if (!me) return <PersonOnly title={t.files.title} />;
  const refresh = () => void queries.invalidateQueries({ queryKey: ["files"] });
  const take = (all: FileList | null) => {
    for (const file of all ?? []) {
      const id = crypto.randomUUID();
      const note = (change: Partial<Sending>) => setSending((now) => now.map((one) => (one.id === id ? { ...one, ...change } : one)));
      setSending((now) => [...now, { id, name: file.name, size: file.size, done: 0 }]);
      upload(file, bucket || "documents", (done) => note({ done })).then(
        () => {
          setSending((now) => now.filter((one) => one.id !== id));
          tell(t.files.uploaded(file.name));
          refresh();
        },
        (error: unknown) => note({ error }),
      );
    }
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    if (mayWrite) take(event.dataTransfer.files);
  };
  const shown = list.rows.find((row) => row.id === open);
  return (
    <div
      className="stack drop-zone"
      data-over={(over && mayWrite) || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <PageHead title={t.files.title} about={mayWrite ? t.files.about : t.files.aboutReader}>
        {mayWrite && (
          <Button kind="primary" onClick={() => picker.current?.click()}>
            <Upload size={15} />
            {t.files.upload}
          </Button>
        )}
      </PageHead>
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          take(event.target.files);
          event.target.value = "";
        }}
      />
      <div className="filters">
        <Choice label={t.files.state} value={state} onChange={(event) => setState(event.target.value as State | "")}>
          <option value="">{t.files.current}</option>
          <option value="deleted">{t.files.trash}</option>
          <option value="rejected">{t.files.states.rejected}</option>
        </Choice>
        <Choice label={t.files.bucket} value={bucket} onChange={(event) => setBucket(event.target.value)}>
          <option value="">{t.files.allBuckets}</option>
          {BUCKETS.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </Choice>
      </div>
      {sending.length > 0 && (
        <ul className="stack" aria-label={t.files.uploading}>
          {sending.map((one) => (
            <li key={one.id} className="panel sending">
              <span className="row-apart small">
                <strong className="clip">{one.name}</strong>
                <span className="muted tabular">{one.error ? "" : `${Math.round(one.done * 100)} % \u00b7 ${bytes(one.size)}`}</span>
              </span>
              {one.error ? (
                <>
                  <ProblemNote error={one.error} />
                  <div>
                    <Button size="small" onClick={() => setSending((now) => now.filter((other) => other.id !== one.id))}>
                      {t.ui.close}
                    </Button>
                  </div>
                </>
              ) : (
                <progress max={1} value={one.done} aria-label={one.name} />
              )}
            </li>
          ))}
        </ul>
      )}
      {list.error && list.rows.length === 0 ? (
        <ProblemNote error={list.error} retry={list.reload} />
      ) : list.loading ? (
        <Skeleton lines={6} />
      ) : list.rows.length === 0 ? (
        <section className="panel">
          <Empty
            icon={<FileImage size={30} />}
            title={state === "deleted" ? t.files.trashEmpty : t.files.none}
            actions={
              mayWrite && !state ? (
                <Button kind="primary" onClick={() => picker.current?.click()}>
                  {t.files.upload}
                </Button>
              ) : null
            }
          >
            {state === "deleted" ? t.files.trashEmptyHint : t.files.noneHint}
          </Empty>
        </section>
      ) : (
        <>
          <ul className="gallery">
            {list.rows.map((row) => (
              <li key={row.id}>
                <button type="button" className="shot" onClick={() => setOpen(row.id)}>
                  <Picture file={row} size="card_300" />
                  <span className="shot-words">
                    <strong className="clip small">{row.name}</strong>
                    <span className="tiny muted">
                      {row.width ? `${row.width}\u00d7${row.height} \u00b7 ` : ""}
                      {bytes(row.size)}
                    </span>
                    {row.state !== "available" && <Badge tone={TONE[row.state]}>{t.files.states[row.state as keyof typeof t.files.states]}</Badge>}
                  </span>
                </button>
              </li>
            ))}
          </ul>
          <More list={list} />
        </>
      )}
      <One file={shown} onClose={() => setOpen(null)} onDone={refresh} />
    </div>
  );
}

/** A thumbnail, fetched with the person's rights: addresses of pictures carry none. */
function Picture({ file, size }: { file: File_; size: string }) {
  const [url, setUrl] = useState<string | null>(null);
  const shows = file.thumbnails.includes(size as never) && file.state === "available";
  useEffect(() => {
    if (!shows) return;
    const stop = new AbortController();
    let made: string | undefined;
    blob(`/api/v1/files/${file.id}/thumbnail/${size}`, stop.signal).then(
      (data) => {
        made = URL.createObjectURL(data);
        setUrl(made);
      },
      () => undefined,
    );
    return () => {
      stop.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [file.id, size, shows]);
  return (
    <span className="picture" data-size={size}>
      {url ? <img src={url} alt="" decoding="async" /> : shows ? <span className="skeleton picture-wait" /> : <FileText size={28} aria-hidden="true" />}
      {!url && !shows && <code className="tiny">{file.mimeType.split("/").at(-1)?.slice(0, 12)}</code>}
    </span>
  );
}

function One({ file, onClose, onDone }: { file: File_ | undefined; onClose: () => void; onDone: () => void }) {
  const mayDelete = useMay("files.delete");
  const [act, setAct] = useState<"delete" | "destroy" | null>(null);
  const [busy, setBusy] = useState(false);
  if (!file) return <Drawer open={false} onClose={onClose} title="">{null}</Drawer>;
  const path = { id: file.id };
  const download = async () => {
    setBusy(true);
    try {
      const { url } = await api.get("/api/v1/files/{id}/url", { path, query: { expiresIn: 60 } });
      keep(url, file.name);
    } catch (error) {
      tellProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const restore = async () => {
    try {
      await api.post("/api/v1/files/{id}/restore", { path });
      tell(t.files.restored(file.name));
      onDone();
      onClose();
    } catch (error) {
      tellProblem(error);
    }
  };
  return (
    <Drawer open onClose={onClose} title={file.name} about={`${file.mimeType} \u00b7 ${bytes(file.size)}`}>
      <Picture key={file.id} file={file} size="preview_600" />
      <div className="row">
        {file.state === "available" && (
          <Button onClick={() => void download()} busy={busy}>
            <Download size={15} />
            {t.files.download}
          </Button>
        )}
        {mayDelete && file.state === "deleted" && (
          <Button onClick={() => void restore()}>
            <RotateCcw size={15} />
            {t.data.restore}
          </Button>
        )}
        {mayDelete && (
          <Button kind="quiet" onClick={() => setAct(file.state === "deleted" ? "destroy" : "delete")}>
            <Trash2 size={15} />
            {file.state === "deleted" ? t.files.destroy : t.data.delete}
          </Button>
        )}
      </div>
      {file.reason && (
        <div className="problem">
          <strong>{t.files.states.rejected}</strong>
          <span>{file.reason}</span>
        </div>
      )}
      <Pairs
        of={[
          [t.files.bucket, file.bucket],
          [t.files.pixels, file.width ? `${file.width} \u00d7 ${file.height}` : null],
          [t.files.came, full(file.createdAt)],
          [t.files.sum, <Copy key="sum" text={file.sha256} />],
          [t.events.id, <Copy key="id" text={file.id} />],
        ]}
      />
      <FormDialog
        open={act === "delete"}
        onClose={() => setAct(null)}
        title={t.data.deleteTitle(file.name)}
        about={t.files.deleteAbout}
        action={t.data.delete}
        danger
        submit={() => api.delete("/api/v1/files/{id}", { path })}
        onDone={() => {
          tell(t.data.deletedOne(file.name));
          onDone();
          onClose();
        }}
      />
      <AskByName
        open={act === "destroy"}
        onClose={() => setAct(null)}
        name={file.name}
        title={t.files.destroyTitle(file.name)}
        consequence={t.files.destroyAbout}
        action={t.files.destroy}
        submit={() => api.delete("/api/v1/files/{id}/permanent", { path })}
        onDone={() => {
          tell(t.data.deletedOne(file.name));
          onDone();
          onClose();
        }}
      />
    </Drawer>
  );
}
