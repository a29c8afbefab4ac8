"use strict";

// Reads the server's OpenAPI document, shows its operations, and sends what the reader fills in. What comes from the server is
// only ever written as text, so that no name of a model can become markup.

const JSON_TYPE = "application/json";
const NPY_TYPE = "application/x-npy";
const FORM_TYPE = "multipart/form-data";
const EVENTS_TYPE = "text/event-stream";
const SENDABLE = [JSON_TYPE, NPY_TYPE, FORM_TYPE];
const LONGEST_SHOWN = 200000;

const root = new URL(".", location.href);
const find = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function labelled(text, control) {
  return element("label", {}, element("span", { textContent: text }), control);
}

/** Write a value as JSON with arrays of plain values on one line. */
function pretty(value, indent = "") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const isArray = Array.isArray(value);
  const inner = indent + "  ";
  if (isArray && value.every((item) => item === null || typeof item !== "object")) {
    return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
  }
  const items = isArray
    ? value.map((item) => inner + pretty(item, inner))
    : Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pretty(item, inner)}`);
  const [open, close] = isArray ? "[]" : "{}";
  return items.length ? `${open}\n${items.join(",\n")}\n${indent}${close}` : open + close;
}

/** Show text in which `…` marks code. */
function showMarked(target, text) {
  text.split("`").forEach((piece, place) => target.append(place % 2 ? element("code", { textContent: piece }) : piece));
}

class Operation {
  constructor(method, path, told) {
    Object.assign(this, { method, path, told });
    this.view = find("operation").content.firstElementChild.cloneNode(true);
    this.part = (name) => this.view.querySelector(`.${name}`);
    this.part("method").textContent = method.toUpperCase();
    this.part("method").classList.add(method);
    this.part("path").textContent = path;
    this.part("summary").textContent = told.summary || "";
    showMarked(this.part("description"), told.description || "");
    this.view.addEventListener("toggle", () => this.open(), { once: true });
  }

  open() {
    this.part("schema").querySelector("pre").textContent = pretty(this.told);
    this.parameters = (this.told.parameters || []).filter((parameter) => parameter.in !== "header");
    this.fields = this.parameters.map((parameter) => {
      const field = element("input", { required: Boolean(parameter.required), name: parameter.name });
      this.part("parameters").append(labelled(`${parameter.name}: ${parameter.description || ""}`, field));
      return field;
    });
    const bodies = this.told.requestBody?.content || {};
    this.kind = this.choice("Send as", SENDABLE.filter((kind) => kind in bodies), () => this.showBody());
    const answers = Object.keys(this.told.responses["200"]?.content || {});
    this.accept = this.choice("Answer as", [JSON_TYPE, NPY_TYPE, EVENTS_TYPE].filter((kind) => answers.includes(kind)), () => {});
    this.showBody();
    this.view.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  /** Let the reader choose a media type, where there is a choice. Gives a function that tells it. */
  choice(label, kinds, changed) {
    if (kinds.length < 2) return () => kinds[0];
    const select = element("select", {}, ...kinds.map((kind) => element("option", { textContent: kind, value: kind })));
    select.addEventListener("change", changed);
    this.part("choices").append(labelled(label, select));
    return () => select.value;
  }

  showBody() {
    const kind = this.kind();
    const place = this.part("body");
    place.replaceChildren();
    if (kind === undefined) return;
    const told = this.told.requestBody.content[kind];
    if (kind === NPY_TYPE) {
      this.file = element("input", { type: "file", accept: ".npy", required: true });
      place.append(labelled("A file that numpy.save has written", this.file));
    } else if (kind === FORM_TYPE) {
      this.parts = Object.entries(told.schema.properties).map(([name, part]) => {
        const text = element("input", { name });
        const file = element("input", { type: "file" });
        place.append(element("div", { className: "part" }, labelled(`${name} ${part.description}`, text), labelled("or a file", file)));
        return { name, text, file };
      });
    } else {
      const example = "example" in told ? pretty(told.example) : "";
      this.text = element("textarea", { value: example, spellcheck: false, rows: Math.min(24, example.split("\n").length + 1) });
      place.append(labelled("Body", this.text));
    }
  }

  target() {
    let path = this.path;
    const url = new URL(root);
    this.parameters.forEach((parameter, place) => {
      const value = this.fields[place].value;
      if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value) url.searchParams.set(parameter.name, value);
    });
    url.pathname = root.pathname.replace(/\/$/, "") + path;
    return url;
  }

  request() {
    const kind = this.kind();
    const headers = {};
    if (this.accept()) headers.Accept = this.accept();
    if (kind === undefined) return { method: this.method.toUpperCase(), headers };
    let body = this.text?.value;
    if (kind === NPY_TYPE) body = this.file.files[0];
    if (kind === FORM_TYPE) {
      body = new FormData();
      for (const { name, text, file } of this.parts) {
        if (file.files.length) body.append(name, file.files[0]);
        else if (text.value) body.append(name, text.value);
      }
    } else {
      headers["Content-Type"] = kind; // a form's has a boundary, which the browser chooses
    }
    return { method: this.method.toUpperCase(), headers, body };
  }

  async send() {
    const button = this.part("send");
    button.disabled = true;
    try {
      const url = this.target();
      const request = this.request();
      this.part("curl").textContent = this.curl(url, request);
      const start = performance.now();
      const response = await fetch(url, request);
      const content = await response.blob();
      await this.show(response, content, performance.now() - start);
    } catch (error) {
      this.status(`No answer: ${error.message}`, true);
      this.part("content").textContent = "";
    }
    button.disabled = false;
    this.part("answer").hidden = false;
  }

  status(text, bad) {
    this.part("status").textContent = text;
    this.part("status").classList.toggle("bad", bad);
  }

  async show(response, content, milliseconds) {
    const kind = response.headers.get("Content-Type") || "";
    this.status(`${response.status} ${response.statusText} · ${milliseconds.toFixed(1)} ms · ${content.size} bytes of ${kind}`, !response.ok);
    const save = this.part("save");
    URL.revokeObjectURL(save.href);
    save.hidden = !response.ok || content.size === 0;
    save.href = URL.createObjectURL(content);
    save.download = kind === NPY_TYPE ? "answer.npy" : "answer.json";
    const text = kind === NPY_TYPE ? "an array in numpy's file format" : await content.text();
    let shown = text;
    try {
      shown = pretty(JSON.parse(text));
    } catch {
      // not JSON as browsers know it: a NaN, an event stream, or nothing
    }
    this.part("content").textContent =
      shown.length > LONGEST_SHOWN ? `${shown.slice(0, LONGEST_SHOWN)}\n… save the answer to see the rest` : shown;
  }

  curl(url, { method, headers, body }) {
    const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
    const words = ["curl", "-X", method];
    for (const [name, value] of Object.entries(headers)) words.push("-H", quoted(`${name}: ${value}`));
    if (typeof body === "string") words.push("--data-raw", quoted(body.replace(/\s*\n\s*/g, " ")));
    else if (body instanceof FormData) {
      for (const [name, value] of body) words.push(value instanceof File ? "-F" : "--form-string", quoted(`${name}=${value instanceof File ? `@${value.name}` : value}`));
    } else if (body) words.push("--data-binary", quoted(`@${body.name}`));
    return [...words, quoted(url.href)].join(" ");
  }
}

function render(description) {
  document.title = description.info.title;
  find("title").textContent = description.info.title;
  find("about").textContent = `Version ${description.info.version}. ${description.info.description}`;
  const groups = new Map();
  for (const { name } of description.tags) {
    const section = find("group").content.firstElementChild.cloneNode(true);
    section.querySelector("h2").textContent = name;
    groups.set(name, section);
  }
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, told] of Object.entries(methods)) {
      groups.get(told.tags[0]).append(new Operation(method, path, told).view);
    }
  }
  const models = [...groups].filter(([name]) => name.startsWith("model "));
  const others = [...groups].filter(([name]) => !name.startsWith("model "));
  find("groups").replaceChildren(...[...models, ...others].map(([, section]) => section));
  filter();
}

function filter() {
  const wanted = find("filter").value.toLowerCase();
  for (const section of find("groups").children) {
    const operations = [...section.querySelectorAll(".operation")];
    for (const operation of operations) {
      operation.hidden = !operation.querySelector("summary").textContent.toLowerCase().includes(wanted);
    }
    section.hidden = operations.every((operation) => operation.hidden);
  }
}

async function refresh() {
  try {
    const response = await fetch(new URL("v2/openapi.json", root));
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    render(await response.json());
  } catch (error) {
    find("about").textContent = `The server does not answer: ${error.message}`;
  }
}

find("filter").addEventListener("input", filter);
find("refresh").addEventListener("click", refresh);
refresh();
