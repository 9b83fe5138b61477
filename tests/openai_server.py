"""A small OpenAI-style server that streams tokens at once. usage: openai_server.py PORT_FILE [MODE]

It writes its address into PORT_FILE. MODE: "" streams and says how many tokens there are by now; "no model": its list
is empty; "short": it refuses requests of more than 1000 tokens; a number: its model takes so many, and says so;
"broken": every completion fails; "unready": its health is never well.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = sys.argv[2] if len(sys.argv) > 2 else ""
#: A token takes about so long: enough for a second of measuring to see many.
TOKEN_S = 0.002


class Handler(BaseHTTPRequestHandler):
    """Health, models, completions."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._say(503 if MODE == "unready" else 200, b"")
        elif self._is_locked():
            return
        elif self.path == "/v1/models":
            model = {"id": "llama", **({"max_model_len": int(MODE)} if MODE.isdecimal() else {})}
            self._say(200, json.dumps({"data": [] if MODE == "no model" else [model]}).encode())
        else:
            self._say(404, b"")

    def do_POST(self) -> None:
        if self._is_locked():
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if MODE == "broken" or (MODE == "short" and asked["max_tokens"] > 1000):
            self._say(500 if MODE == "broken" else 400, b'{"error": "no"}')
            return
        self.send_response(200)
        self.end_headers()
        try:
            for token in range(1, asked["max_tokens"] + 1):
                piece = {"choices": [{"text": "x"}], "usage": {"completion_tokens": token}}
                self.wfile.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
                self.wfile.flush()
                time.sleep(TOKEN_S)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return

    def _is_locked(self) -> bool:
        if MODE != "locked" or self.headers["Authorization"] == "Bearer sesame":
            return False
        self._say(401, b"")
        return True

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(
        ("127.0.0.1", int(Path(sys.argv[1]).read_text() if Path(sys.argv[1]).exists() else 0)), Handler
    )
    Path(sys.argv[1]).write_text(str(server.server_port))
    server.serve_forever()
