"""A program in the engine's place, for tests without one: `start --home DIR` answers RPC only.

Its height grows with time. What it shall do instead stands in DIR/mood: `sulk` (end at once),
`dumb` (answer nothing), `stuck` (no height grows), `stubborn` (not end when it is asked to).
"""

from __future__ import annotations

import json
import signal
import sys
import time
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def main() -> None:
    home = Path(sys.argv[sys.argv.index("--home") + 1])
    mood = (home / "mood").read_text() if (home / "mood").exists() else ""
    print("engine: here I am", flush=True)
    if mood == "sulk":
        sys.exit("engine: no disk left")
    if mood == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mood == "dumb":
        time.sleep(60)
    chain_id = json.loads((home / "config" / "genesis.json").read_text())["chain_id"]
    began_s = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            height = 1 if mood == "stuck" else 1 + int((time.monotonic() - began_s) / 0.2)
            result: dict[str, Any] = {
                "status": {
                    "node_info": {"network": chain_id},
                    "sync_info": {
                        "latest_block_height": str(height),
                        "latest_app_hash": "AB" * 32,
                        "catching_up": False,
                    },
                    "validator_info": {"voting_power": "10"},
                },
                "net_info": {"n_peers": "3"},
            }[request["method"]]
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

    config = tomllib.loads((home / "config" / "config.toml").read_text())
    port = urlsplit(config["rpc"]["laddr"]).port
    HTTPServer(("127.0.0.1", port or 0), Handler).serve_forever()


if __name__ == "__main__":
    main()
