
"use strict";
// Reads /openapi.json, shows it, and sends what a person fills in. Text goes into the page as text, never as markup.
(() => {
  const VERBS = ["get", "post", "patch", "delete"];
  const byId = (id) => document.getElementById(id);
  const list = byId("list"), main = byId("main"), find = byId("find"), token = byId("token");
  let operations = [], schemas = {};

  function el(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== undefined && child !== null));
    return node;
  }

  function resolve(schema) {
    let seen = 0;
    while (schema && schema.$ref && seen++ < 20) schema = schemas[schema.$ref.split("/").pop()];
    return schema || {};
  }

  // A value to start from, made of a schema.
  function sample(schema, depth = 0) {
    const named = resolve(schema);
    if (depth > 6) return null;
    if (named.example !== undefined) return named.example;
    if (named.default !== undefined && named.default !== null) return named.default;
    if (named.const !== undefined) return named.const;
    if (named.enum) return named.enum[0];
    const choice = (named.oneOf || named.anyOf || []).find((one) => resolve(one).type !== "null");
    if (choice) return sample(choice, depth + 1);
    if (named.allOf) return Object.assign({}, ...named.allOf.map((one) => sample(one, depth + 1)));
    const type = Array.isArray(named.type) ? named.type.find((one) => one !== "null") : named.type;
    if (type === "object" || named.properties) {
      const needed = named.required || [];
      const names = Object.keys(named.properties || {}).filter((name) => needed.includes(name));
      return Object.fromEntries(names.map((name) => [name, sample(named.properties[name], depth + 1)]));
    }
    if (type === "array") return [];
    if (type === "integer" || type === "number") return named.minimum ?? 0;
    if (type === "boolean") return false;
    return { uuid: uuid(), "date-time": new Date().toISOString() }[named.format] ?? "";
  }

  function typeOf(schema) {
    const name = schema && schema.$ref ? schema.$ref.split("/").pop() : undefined;
    const named = resolve(schema);
    if (named.enum) return named.enum.map((one) => JSON.stringify(one)).join(" | ");
    const choices = named.oneOf || named.anyOf;
    if (choices) return choices.map(typeOf).join(" | ");
    if (named.type === "array") return typeOf(named.items) + "[]";
    return name || [named.type || "any"].flat().join(" | ") + (named.format ? ` (${named.format})` : "");
  }

  function members(schema, depth = 0) {
    const named = resolve(schema);
    const properties = Object.entries(named.properties || {});
    if (!properties.length || depth > 3) return el("p", { class: "mono" }, typeOf(schema));
    return el("table", {}, properties.map(([name, member]) => el("tr", {},
      el("th", { class: "mono" + ((named.required || []).includes(name) ? " needed" : "") }, name),
      el("td", {}, el("div", { class: "mono quiet" }, typeOf(member)), resolve(member).description || member.description || ""))));
  }

  // Browsers offer randomUUID on secure pages only.
  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  const shown = (value) => { try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; } };

  function show(operation) {
    const { verb, path, about } = operation;
    const fields = [];
    const parameters = about.parameters || [];
    const rows = parameters.map((parameter) => {
      const input = el("input", { "aria-label": parameter.name, placeholder: parameter.in, autocomplete: "off", spellcheck: "false" });
      if (parameter.name === "Idempotency-Key" && parameter.required) input.value = uuid();
      fields.push([parameter, input]);
      return el("tr", {},
        el("th", { class: "mono" + (parameter.required ? " needed" : "") }, parameter.name),
        el("td", {}, el("div", { class: "mono quiet" }, typeOf(parameter.schema)), parameter.description || ""),
        el("td", { class: "value" }, input));
    });
    const media = about.requestBody && about.requestBody.content["application/json"];
    const body = media && el("textarea", { "aria-label": "Body", spellcheck: "false" });
    if (body) body.value = JSON.stringify(media.example ?? sample(media.schema), null, 2);
    const answer = el("div", { "aria-live": "polite" });
    const send = el("button", { on: { click: () => call(operation, fields, body, send, answer) } }, "Send");
    const answers = Object.entries(about.responses || {});
    const good = answers.find(([status]) => status < 300);
    const goodSchema = good && good[1].content && Object.values(good[1].content)[0].schema;
    main.replaceChildren(...[
      el("h2", {}, about.summary || about.operationId),
      el("p", { class: "address mono" }, el("span", { class: "verb " + verb.toUpperCase() }, verb.toUpperCase() + " "), path),
      el("p", {}, el("span", { class: "chip" }, "access: " + (about["x-permission"] || "?")),
        el("span", { class: "chip mono" }, about.operationId), about.deprecated ? el("span", { class: "chip" }, "deprecated") : undefined),
      about.description ? el("p", {}, about.description) : undefined,
      rows.length ? el("h3", {}, "Parameters") : undefined,
      rows.length ? el("table", {}, rows) : undefined,
      body ? el("h3", {}, "Body") : undefined, body,
      media ? el("details", {}, el("summary", {}, "Members"), members(media.schema)) : undefined,
      el("h3", {}, "Try it"), send, answer,
      el("h3", {}, "Answers"),
      el("table", {}, answers.map(([status, one]) => el("tr", {},
        el("th", {}, el("span", { class: "status " + (status < 400 ? "good" : "bad") }, status)), el("td", {}, one.description || "")))),
      goodSchema ? el("details", { open: true }, el("summary", {}, "Members of the answer"), members(goodSchema)) : undefined,
    ].filter(Boolean));
    main.scrollTop = 0;
    document.title = (about.summary || about.operationId) + " · API reference";
  }

  async function call({ verb, path }, fields, body, send, answer) {
    const query = new URLSearchParams(), headers = new Headers();
    let address = path, missing = [];
    for (const [parameter, input] of fields) {
      const value = input.value.trim();
      if (!value && parameter.required) missing.push(parameter.name);
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, () => parameter.name === "path" ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value));
      else if (value && parameter.in === "query") query.set(parameter.name, value);
      else if (value && parameter.in === "header") headers.set(parameter.name, value);
    }
    if (missing.length) { answer.replaceChildren(el("p", { class: "status bad" }, "Fill in " + missing.join(", ") + ".")); return; }
    if (token.value.trim()) headers.set("Authorization", "Bearer " + token.value.trim());
    if (body) headers.set("Content-Type", "application/json");
    const target = address + (query.size ? "?" + query : "");
    send.disabled = true;
    const begun = performance.now();
    try {
      const response = await fetch(target, { method: verb.toUpperCase(), headers, body: body ? body.value : undefined, credentials: "omit" });
      const text = await response.text();
      const took = Math.round(performance.now() - begun);
      answer.replaceChildren(
        el("p", {}, el("span", { class: "status " + (response.ok ? "good" : "bad") }, `${response.status} ${response.statusText}`), el("span", { class: "quiet" }, ` in ${took} ms`)),
        el("pre", { tabindex: "0" }, shown(text) || "(no body)"),
        el("details", {}, el("summary", {}, "Headers"), el("pre", {}, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"))));
    } catch (error) {
      answer.replaceChildren(el("p", { class: "status bad" }, "No answer: " + error.message));
    } finally {
      send.disabled = false;
    }
  }

  function listed() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const groups = new Map();
    for (const operation of operations) {
      if (!words.every((word) => operation.text.includes(word))) continue;
      const tag = (operation.about.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation);
    }
    list.replaceChildren(...[...groups].flatMap(([tag, some]) => [el("h2", {}, tag), ...some.map((operation) =>
      el("a", { href: "#" + operation.about.operationId, title: operation.path, "aria-current": location.hash.slice(1) === operation.about.operationId ? "page" : undefined },
        el("span", { class: "verb " + operation.verb.toUpperCase() }, operation.verb.toUpperCase()), operation.about.summary || operation.path))]));
    if (!groups.size) list.replaceChildren(el("p", { class: "quiet" }, "Nothing found."));
  }

  function opened() {
    const operation = operations.find(({ about }) => about.operationId === location.hash.slice(1));
    if (operation) show(operation);
    else main.replaceChildren(el("h2", {}, "Choose an operation"), el("p", { class: "quiet" }, `${operations.length} operations. Errors are problems (RFC 9457); each kind is explained at /problems.`));
    listed();
  }

  fetch("/openapi.json").then((response) => {
    if (!response.ok) throw new Error("status " + response.status);
    return response.json();
  }).then((description) => {
    schemas = (description.components || {}).schemas || {};
    for (const [path, entry] of Object.entries(description.paths)) {
      for (const verb of VERBS) {
        const about = entry[verb];
        if (about) operations.push({ verb, path, about, text: [verb, path, about.summary, about.operationId, about["x-permission"], ...(about.tags || [])].join(" ").toLowerCase() });
      }
    }
    find.addEventListener("input", listed);
    addEventListener("hashchange", opened);
    opened();
  }).catch((error) => main.replaceChildren(el("p", { class: "status bad" }, "The description could not be read: " + error.message)));
})();
