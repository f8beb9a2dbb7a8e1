"""All fuzzing targets by name, and where what was learned of them is kept.

Knows the targets and files. A corpus is one file a target: its inputs, one after another, each
behind its length, the shortest first. A finding is a file of its own whose name says what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import fuzz_decoders as decoders
import fuzz_engine
import fuzz_hubs
import fuzz_registry
from fuzz_ledger import ledger
from fuzz_talk import talk

from peerwatt.records.chain import LENGTH_BYTES

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
FINDINGS = HERE / "findings"
Target = Callable[[bytes], str]

TARGETS: dict[str, Target] = {
    "genesis": decoders.genesis,
    "message": decoders.message,
    "transaction": decoders.transaction,
    "block": decoders.block,
    "header": decoders.header,
    "witness": decoders.witness,
    "reading": decoders.reading,
    "proof_of_value": decoders.proof_of_value,
    "proof_of_item": decoders.proof_of_item,
    "receipt": decoders.receipt,
    "chain_files": decoders.chain_files,
    "manifest": decoders.manifest,
    "config": decoders.config,
    "study_file": decoders.study_file,
    "sessions": decoders.sessions,
    "orders": decoders.orders,
    "key_file": decoders.key_file,
    "abci": fuzz_engine.abci,
    "engine_genesis": fuzz_engine.engine_genesis,
    "snapshot": fuzz_engine.snapshot,
    "certificate": fuzz_registry.certificate,
    "address_request": fuzz_registry.address_request,
    "sites": fuzz_hubs.sites,
    "sealed_body": fuzz_hubs.sealed_body,
    "history": fuzz_hubs.history,
    "talk": talk,
    "ledger": ledger,
}


def kept(name: str) -> list[bytes]:
    """The corpus of a target; empty if there is none yet."""
    path = CORPUS / f"{name}.bin"
    data, inputs, at = path.read_bytes() if path.exists() else b"", [], 0
    while at < len(data):
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "big")
        inputs.append(data[start:end])
        at = end
    return inputs


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Write the corpus of a target."""
    CORPUS.mkdir(exist_ok=True)
    chosen = sorted({*inputs}, key=lambda data: (len(data), data))
    framed = b"".join(len(each).to_bytes(LENGTH_BYTES, "big") + each for each in chosen)
    (CORPUS / f"{name}.bin").write_bytes(framed)


def findings(name: str) -> list[Path]:
    """What this target once found, each in a file."""
    return sorted((FINDINGS / name).glob("*.bin"))


def smallest(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """The fewest inputs, shorter ones preferred, that together get every answer seen."""
    chosen, seen = [], set[str]()
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        answers = {*target(data).split("\n")}
        if not answers <= seen:
            seen |= answers
            chosen.append(data)
    return chosen
