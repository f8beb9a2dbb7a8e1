"""A run whose blocks an engine decided: it is verified like any other, but who decided is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peerwatt.audit.folder import LEDGER, open_chain, verify_folder
from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft.chain import Decided, DecidedChain, validator_id
from peerwatt.hosts.folder import BLOCKS, WITNESSES, read_blocks, read_genesis
from peerwatt.hosts.store import Store
from peerwatt.records.bundles import Verdict, is_sound, verify_bundle
from peerwatt.records.chain import frame
from peerwatt.records.codec import encode
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.run import DayRun

VALIDATOR = validator_id(b"v" * 20)


@pytest.fixture
def decided(folder: Path) -> Path:
    """The run with the same blocks as a network's engine would have decided them."""
    chain = DecidedChain(ledger, Store(None), read_genesis(folder / LEDGER))
    signed = list(read_blocks(folder / LEDGER))
    for block in signed:
        header = block.signed_header.header
        chain.finalize(
            Decided(
                height=header.context.height,
                block_time_s=header.block_time_s,
                transactions=block.transactions,
                proposer=VALIDATOR,
            )
        )
        chain.commit()
        assert chain.block(chain.height).signed_header.header.app_hash == header.app_hash
    blocks = (encode(chain.block(height)) for height in range(1, chain.height + 1))
    (folder / LEDGER / BLOCKS).write_bytes(b"".join(map(frame, blocks)))
    (folder / LEDGER / WITNESSES).write_bytes(b"")
    for path in folder.glob("*.json"):
        text = path.read_text().replace(signed[-1].signed_header.header.block_id.hex(), "HEAD")
        path.write_text(text.replace("HEAD", chain.head_id.hex()))
    return folder


def test_a_network_s_run_is_verified_but_for_who_decided_it(
    decided: Path, sign_again: Callable[..., None]
) -> None:
    sign_again()
    findings = verify_folder(decided).findings
    texts = {each.text: each.verdict for each in findings}
    assert is_sound(findings), [each for each in findings if each.verdict is Verdict.FAILS]
    assert texts["the folder is signed by aggregator"] is Verdict.HOLDS
    (made,) = [each for each in texts if "unsigned blocks follow from genesis" in each]
    assert texts[made] is Verdict.HOLDS
    decision = "that a network's validators decided these blocks: the folder keeps no votes"
    assert texts[decision] is Verdict.NOT_SHOWN


def test_a_network_s_run_is_signed_by_a_member(
    decided: Path, sign_again: Callable[..., None], fails: Callable[..., list[str]]
) -> None:
    sign_again(SigningKey(bytes(32)))
    assert "the folder is signed by a member of its chain" in fails()


def test_a_receipt_of_it_leaves_the_signature_to_the_validators(
    decided: Path, small_run: DayRun
) -> None:
    chain = open_chain(decided)
    round_id = next(key for key, _ in chain.items("rounds") if chain.sealed("settlements", key))
    order_id = chain.sealed("settlements", round_id)[0][0]
    bundle = chain.receipt("settlements", round_id, order_id)
    findings = verify_bundle(bundle)
    assert is_sound(findings)
    (asked,) = [each for each in findings if "that an engine's validators signed" in each.text]
    assert asked.verdict is Verdict.NOT_SHOWN
    known = small_run.world.keys.key("aggregator").public
    for proposer in (known, VALIDATOR):
        assert not is_sound(verify_bundle(bundle, proposer=proposer))
