"""The page of the API for a person: its calls, from what describes them to programs; no network, no script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif;
  background: light-dark(#fff, #151515); color: light-dark(#1d1d1f, #ececec); }
body { max-width: 60rem; margin: 0 auto; padding: 0 1rem 2rem; }
section { border-top: 1px solid #8888; padding: .2rem 0 .6rem; }
h1 { overflow-wrap: anywhere; }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin-top: .5rem; }
caption { text-align: left; font-style: italic; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; font-weight: normal; }
td { overflow-wrap: break-word; }
td:nth-child(3) { white-space: nowrap; }
td:first-child { min-width: 9rem; }
a { color: light-dark(#0b5cad, #7ab8f5); }
@media (max-width: 40rem) {
  tr { display: block; padding: .3rem 0; border-top: 1px solid #8884; }
  td { display: inline; padding-right: .7rem; }
  td:last-child { display: block; }
}
"""


def api_page(described: Mapping[str, Any]) -> str:
    """Return the page, in HTML.

    Args:
        described: The API as OpenAPI 3.1 describes it; its models are flat.
    """
    info = described["info"]
    calls = [
        _call(described, path, method, call)
        for path, methods in described["paths"].items()
        for method, call in methods.items()
    ]
    head = f"{info['title']} {info['version']}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(head)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><main><h1>{escape(head)}</h1><p>{escape(info.get('description', ''))}</p>"
        "<p>Every path below <code>/api</code> needs the header <code>Authorization: Bearer TOKEN</code>. An error is "
        '<code>{"error": "one line"}</code>. For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(calls)}</main></html>\n"
    )


def _call(described: Mapping[str, Any], path: str, method: str, call: Mapping[str, Any]) -> str:
    said = escape(call.get("description") or call.get("summary", ""))
    parts = [f"<section><h2>{escape(method.upper())} {escape(path)}</h2><p>{said}</p>"]
    given = [
        (f"{one['name']} ({one['in']})", one["schema"], one.get("description", ""), one.get("required", False))
        for one in call.get("parameters", ())
    ]
    if body := call.get("requestBody"):
        given += _fields(described, body)
    if given:
        parts.append(_table("given", given))
    for status, answer in call["responses"].items():
        if status.startswith("2") and (fields := list(_fields(described, answer))):
            # All of them are always there.
            told = [(name, field, said, False) for name, field, said, _ in fields]
            parts.append(_table(f"answer ({status})", told))
    return "".join([*parts, "</section>"])


Field = tuple[str, Mapping[str, Any], str, bool]


def _fields(described: Mapping[str, Any], holder: Mapping[str, Any]) -> Iterator[Field]:
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    schema = schema.get("items", schema)
    named = described["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    for name, field in named.get("properties", {}).items():
        yield name, field, field.get("description", ""), name in named.get("required", ())


def _table(title: str, fields: list[Field]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(field))}<td>{_default(field, required)}"
        f"<td>{escape(said)}"
        for name, field, said, required in fields
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(map(_kind, field["anyOf"]))
    name = str(field.get("type") or field.get("$ref", "").rpartition("/")[2] or "any")
    return f"{name} of {_kind(field['items'])}" if "items" in field else name


def _default(field: Mapping[str, Any], required: bool) -> str:
    if required or "default" not in field:
        return "required" if required else ""
    return f"default {escape(json.dumps(field['default']))}"
