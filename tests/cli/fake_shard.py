"""A tiny shard over HTTP for tests of the commands: it remembers events and answers in the contract's words."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeShard:
    """Accepts every event with an id not seen in its session; lists are the most clicked items.

    `plan` holds answers to give before the true ones: (status, headers, document), or None to drop the connection.
    `hidden` makes that many of the latest events of a session invisible to its lists.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.plan: list[tuple[int, dict[str, str], Any] | None] = []
        self.routes: dict[tuple[str, str], Any] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.clicks: Counter[str] = Counter()
        self.records: dict[str, list[Any]] = {"items": [], "users": []}
        self.batch_max = 1_000
        self.hidden = 0
        self._lock = threading.Lock()
        shard = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one write, else each answer waits 40 ms for Nagle's algorithm

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with shard._lock:
                    shard.requests.append((self.command, self.path, dict(self.headers), body))
                    planned = shard.plan.pop(0) if shard.plan else shard.answer(self.command, self.path, body)
                if planned is None:
                    self.close_connection = True
                    return
                status, headers, document = planned
                payload = document.encode() if isinstance(document, str) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_DELETE = _any

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        if (method, path) in self.routes:
            return 200, {}, self.routes[method, path]
        if (method, path) == ("POST", "/v1/events"):
            return self.ingest(body, self.event)
        if method == "PUT" and path in ("/v1/items", "/v1/items?only=new", "/v1/users"):
            held = self.records[path.removeprefix("/v1/").removesuffix("?only=new")]
            ids = {record.get("id") for record in held} if path.endswith("only=new") else set()
            held += [record for record in map(json.loads, body.splitlines()) if record.get("id") not in ids]
            return self.ingest(body, lambda record: "duplicate" if record.get("id") in ids else "accepted")
        if method == "PUT" and path in ("/v1/items?only=changed", "/v1/users?only=changed"):
            held = self.records[path.removeprefix("/v1/").removesuffix("?only=changed")]
            lines = [json.loads(line) for line in body.splitlines()]
            same = [record for record in lines if record in held]
            ids = {record["id"] for record in lines}
            held[:] = [record for record in held if record["id"] not in ids] + lines
            return self.ingest(body, lambda record: "duplicate" if record in same else "accepted")
        if method == "DELETE" and path.startswith("/v1/items/"):
            gone = urllib.parse.unquote(path.removeprefix("/v1/items/"))
            self.records["items"] = [record for record in self.records["items"] if record["id"] != gone]
            return 204, {}, ""
        if (method, path) == ("POST", "/v1/recommend"):
            return self.recommend(json.loads(body))
        return 404, {}, {"error": {"code": "not_found", "message": path}}

    def ingest(self, body: bytes, take: Any) -> tuple[int, dict[str, str], Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        records = lines[0] if len(lines) == 1 and isinstance(lines[0], list) else lines
        if len(records) > self.batch_max:
            return 413, {}, {"error": {"code": "body_too_large", "message": f"more than {self.batch_max}"}}
        verdicts = [take(record) for record in records]
        rejected = [
            {"index": n, "event_id": None, "code": verdict, "message": "refused"}
            for n, verdict in enumerate(verdicts)
            if verdict not in ("accepted", "duplicate")
        ]
        counts = Counter(verdicts)
        reply = {"accepted": counts["accepted"], "duplicates": counts["duplicate"], "rejected": rejected}
        return 200, {}, {**reply, "position": f"p{sum(len(s) for s in self.seen.values())}"}

    def event(self, event: dict[str, Any]) -> str:
        if event["event_type"] not in ("click", "view", "search", "impression"):
            return "unknown_event_type"
        mine = self.seen.setdefault(event["session_id"], {})
        if event["event_id"] in mine:
            return "duplicate"
        mine[event["event_id"]] = event
        if event.get("item_id") and event["event_type"] != "impression":
            self.clicks[event["item_id"]] += 1
        return "accepted"

    def recommend(self, request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        ranked = sorted(self.clicks, key=lambda item: (-self.clicks[item], item))
        if request["surface"] == "none":
            return 404, {}, {"error": {"code": "unknown_surface", "message": "none"}}
        items = [{"id": item, "score": 1.0, "position": n} for n, item in enumerate(ranked[: request["k"]])]
        version = max(0, len(self.seen.get(request["session_id"], ())) - self.hidden)
        reply = {"request_id": f"r{len(self.requests)}", "items": items, "state_version": version}
        return 200, {}, {**reply, "degraded": ["no_model"]}
