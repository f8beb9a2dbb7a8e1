"""The ledger's genesis inside the engine's: canonical bytes, as hexadecimal digits under one name.

Knows the records' genesis and the shape of the engine's genesis document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis

FIELD = "genesis"
FILE = Path("config", "genesis.json")


class GenesisError(ValueError):
    """A genesis document that this node cannot start from; says why in one line."""


def app_state(genesis: bytes) -> dict[str, str]:
    """What stands under `app_state` in the engine's genesis document."""
    return {FIELD: genesis.hex()}


def read_app_state(data: bytes) -> bytes:
    """The ledger's genesis from the bytes of `app_state`.

    Raises:
        GenesisError: it is not there, or not one.
    """
    try:
        return _ledger_genesis(json.loads(data))
    except (ValueError, RecursionError) as error:
        if isinstance(error, GenesisError):
            raise
        raise GenesisError("app_state: is not JSON") from None


def read_genesis_document(home: Path) -> bytes:
    """The ledger's genesis from a node's `config/genesis.json`.

    Raises:
        GenesisError: the file is missing, is none, or names two chains.
    """
    path = home / FILE
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise GenesisError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise GenesisError(f"{path}: is not JSON") from None
    try:
        about = document if isinstance(document, dict) else {}
        genesis = _ledger_genesis(about.get("app_state"))
        check_chain_id(genesis, about.get("chain_id"))
    except GenesisError as error:
        raise GenesisError(f"{path}: {error}") from None
    return genesis


def check_chain_id(genesis: bytes, engine_chain_id: object) -> None:
    """Refuse a ledger's genesis that is of another chain than the engine's."""
    known = decode(genesis, Genesis).chain_id
    if known != engine_chain_id:
        raise GenesisError(
            f"chain_id: the engine's is {engine_chain_id!r}, the ledger's is {known!r}"
        )


def _ledger_genesis(state: Any) -> bytes:
    text = state.get(FIELD) if isinstance(state, dict) else None
    if not isinstance(text, str):
        raise GenesisError(f"app_state: has no '{FIELD}'")
    try:
        genesis = bytes.fromhex(text)
        decode(genesis, Genesis)
    except ValueError as error:
        raise GenesisError(f"app_state.{FIELD}: {error}") from None
    return genesis
