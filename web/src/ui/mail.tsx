import { useEffect, useRef } from "react";
import { t } from "../text";

const TAGS = new Set(
  "a abbr b blockquote br caption code col colgroup dd div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s small span strong sub sup table tbody td tfoot th thead tr u ul center font".split(" "),
);
const ATTRIBUTES = new Set("align alt bgcolor border cellpadding cellspacing colspan dir height lang rowspan title valign width".split(" "));
/** Properties that could reach out of the mail or fetch something. */
const REFUSED = /^(position|z-index|content|behavior|-moz-binding|cursor|inset|top|right|bottom|left|transform|translate|animation|transition)/;

/** Where a mail's link may lead. */
function safeLink(href: string): string | null {
  try {
    const url = new URL(href, location.origin);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** Copies what is harmless; everything else is left behind with its name. Scripts can't run: the source is parsed, never inserted. */
export function copied(source: Node, into: Node, document_: Document): void {
  for (const node of source.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      into.appendChild(document_.createTextNode(node.textContent ?? ""));
      continue;
    }
    if (!(node instanceof Element)) continue;
    const name = node.localName;
    if (!TAGS.has(name)) {
      // What holds text passes its text on; what holds code does not.
      if (!["script", "style", "head", "title", "template", "object", "svg", "math", "iframe"].includes(name)) copied(node, into, document_);
      continue;
    }
    const element = document_.createElement(name);
    for (const { name: attribute, value } of node.attributes) {
      if (ATTRIBUTES.has(attribute)) element.setAttribute(attribute, value);
    }
    if (element instanceof HTMLAnchorElement) {
      const href = safeLink(node.getAttribute("href") ?? "");
      if (href) {
        element.href = href;
        element.target = "_blank";
        element.rel = "noopener noreferrer";
      }
    }
    if (element instanceof HTMLImageElement) {
      const source_ = node.getAttribute("src") ?? "";
      if (source_.startsWith("data:image/")) element.src = source_;
    }
    styled(node.getAttribute("data-style") ?? "", element);
    copied(node, element, document_);
    into.appendChild(element);
  }
}

/** Style attributes under another name: a parser under the page's policy would report each as a breach. */
export function unstyled(html: string): string {
  return html.replace(/<style[\s\S]*?<\/style\s*>/gi, "").replace(/(<[a-z][^<>]*?\s)style(\s*=)/gi, "$1data-style$2");
}

/** Applies inline styles one by one through the object model: the page's policy allows no style attributes. */
function styled(text: string, element: HTMLElement): void {
  for (const rule of text.split(";")) {
    const at = rule.indexOf(":");
    if (at < 0) continue;
    const [property, value] = [rule.slice(0, at).trim().toLowerCase(), rule.slice(at + 1).trim()];
    if (REFUSED.test(property) || /url\s*\(|expression/i.test(value)) continue;
    element.style.setProperty(property, value.replace(/!important/i, "").trim());
  }
}

/** A mail's HTML as its reader would see it, in a tree of its own: its looks don't leak into the console, nor the other way. */
export function MailBody({ html }: { html: string }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const parsed = new DOMParser().parseFromString(unstyled(html), "text/html");
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      ":host{all:initial;display:block;font:15px/1.55 system-ui,sans-serif;color:#1a2226;background:#fff;padding:20px;border-radius:8px;overflow:auto;contain:content}" +
        "img{max-width:100%}table{max-width:100%}a{color:#0b5d6b}",
    );
    root.adoptedStyleSheets = [sheet];
    const fragment = document.createDocumentFragment();
    copied(parsed.body, fragment, document);
    root.replaceChildren(fragment);
  }, [html]);
  return <div ref={host} className="mail-body" role="document" aria-label={t.outbox.body} />;
}
