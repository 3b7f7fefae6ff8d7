"""The page `/docs`: the OpenAPI document drawn for people, in one file.

Invariant: the page asks for nothing but `/openapi.json`, and everything from there is set as text, never as markup.
It does not know any route by name.
"""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>rtp: the API</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: 6px }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } summary b { font: 600 13px ui-monospace, monospace; display: inline-block; width: 4.5rem }
summary code { margin-right: .8rem } table { border-collapse: collapse }
td { padding: .15rem .8rem .15rem 0; vertical-align: top }
</style></head><body>
<h1>rtp</h1><p id="about">Loading…</p><main id="routes"></main><h2>Shapes</h2><section id="shapes"></section>
<script>
const at = id => document.getElementById(id);
const make = (tag, text, ...inner) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...inner);
  return node;
};
const short = schema => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(short).join(" | ");
  if (schema.type === "array") return short(schema.items || {}) + "[]";
  if (schema.enum) return schema.enum.join(" | ");
  return Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "any";
};
const bodies = content =>
  Object.entries(content || {}).map(([type, one]) => type + ": " + short(one.schema)).join("\\n");
const rows = pairs => {
  const table = make("table");
  for (const [left, right] of pairs)
    table.append(make("tr", "", make("td", "", make("code", left)), make("td", right)));
  return table;
};
const parameter = one => [one.name, one.in + ", " + short(one.schema) + ": " + one.description];
const answer = ([status, one]) =>
  [status, one.description + (one.content ? " (" + bodies(one.content) + ")" : "")];
const operation = (path, method, one, shared) => {
  const head = make("summary", "", make("b", method.toUpperCase()), make("code", path), make("span", one.summary));
  const box = make("details", "", head);
  const given = [...shared, ...(one.parameters || [])];
  if (given.length) box.append(make("h4", "Parameters"), rows(given.map(parameter)));
  if (one.requestBody) box.append(make("h4", "Body"), make("pre", bodies(one.requestBody.content)));
  box.append(make("h4", "Answers"), rows(Object.entries(one.responses).map(answer)));
  return box;
};
const draw = doc => {
  at("about").textContent = doc.info.summary + " Version " + doc.info.version + ".";
  for (const [path, methods] of Object.entries(doc.paths))
    for (const [method, one] of Object.entries(methods))
      if (method !== "parameters") at("routes").append(operation(path, method, one, methods.parameters || []));
  for (const [title, schema] of Object.entries(doc.components.schemas)) {
    const shape = make("pre", JSON.stringify(schema, null, 2));
    at("shapes").append(make("details", "", make("summary", title), shape));
  }
};
fetch("openapi.json").then(reply => reply.json()).then(draw).catch(error => {
  at("about").textContent = "openapi.json could not be read: " + error;
});
</script></body></html>
"""
