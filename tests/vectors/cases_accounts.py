"""Wallets, coins, members and their votes."""

from __future__ import annotations

from functools import partial

from book import Book
from msgspec.structs import replace
from small_hub import START_S, SmallHub, genesis, key, public

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason
from peerwatt.units import MAX_UCOIN, UCOIN_PER_COIN


def wallets(book: Book) -> None:
    hub = SmallHub()
    token = key("authority").sign(tx.WALLET_DOMAIN, hub.chain_id, public("ann"))
    ann = {"authority": public("authority"), "token": token}
    book.accepted(hub, tx.OpenWallet, "ann", **ann)
    book.refused(hub, tx.OpenWallet, "ann", Reason.ALREADY_EXISTS, "signer", **ann)
    book.refused_bytes(
        hub, tx.OpenWallet, hub.wallet("operator"), Reason.ALREADY_EXISTS, "signer", "a member"
    )
    for authority, note in (("grid", "without the role"), ("nobody", "no member")):
        book.refused(
            hub,
            tx.OpenWallet,
            "bob",
            Reason.UNKNOWN_MEMBER,
            "authority",
            note=note,
            authority=public(authority),
            token=token,
        )
    book.refused(
        hub,
        tx.OpenWallet,
        "bob",
        Reason.BAD_COSIGNATURE,
        "token",
        note="of another key",
        authority=public("authority"),
        token=token,
    )
    book.refused(
        hub,
        tx.OpenWallet,
        "bob",
        Reason.WRONG_NONCE,
        "nonce",
        nonce=1,
        authority=public("authority"),
        token=token,
    )


def mints(book: Book) -> None:
    hub = SmallHub(mint_cap_ucoin=5 * UCOIN_PER_COIN)
    cosigned = {"cosigner": "regulator", "to": public("grid")}
    book.accepted(hub, tx.Mint, "issuer", **cosigned)
    book.refused(hub, tx.Mint, "issuer", Reason.ALREADY_EXISTS, "deposit_reference", **cosigned)
    other = {"deposit_reference": digest(b"second")}
    book.refused(hub, tx.Mint, "grid", Reason.NOT_PERMITTED, "signer", **cosigned, **other)
    for cosigner, note in (("", "nobody"), ("grid", "no regulator"), ("issuer", "itself")):
        book.refused(
            hub,
            tx.Mint,
            "issuer",
            Reason.BAD_COSIGNATURE,
            "cosigner",
            note=note,
            cosigner=cosigner,
            to=public("grid"),
            **other,
        )
    book.refused(
        hub,
        tx.Mint,
        "issuer",
        Reason.UNKNOWN_ACCOUNT,
        "to",
        **cosigned | {"to": public("nobody")},
        **other,
    )
    book.refused(
        hub,
        tx.Mint,
        "issuer",
        Reason.OVER_CAP,
        "amount_ucoin",
        amount_ucoin=4 * UCOIN_PER_COIN + 1,
        **cosigned,
        **other,
    )
    book.accepted(
        hub,
        tx.Mint,
        "issuer",
        note="up to the cap",
        amount_ucoin=4 * UCOIN_PER_COIN,
        **cosigned,
        **other,
    )
    hub.block(at=START_S - START_S % 3_600 + 3_600)
    book.accepted(
        hub,
        tx.Mint,
        "issuer",
        note="in the next epoch",
        amount_ucoin=5 * UCOIN_PER_COIN,
        **cosigned,
        deposit_reference=digest(b"third"),
    )


def mints_without_bounds(book: Book) -> None:
    rich = SmallHub(mint_cap_ucoin=MAX_UCOIN)
    cosigned = {"cosigner": "regulator", "to": public("grid")}
    other = {"deposit_reference": digest(b"second")}
    book.accepted(
        rich, tx.Mint, "issuer", note="all that can be counted", amount_ucoin=MAX_UCOIN, **cosigned
    )
    rich.block(at=START_S + 3_600)
    book.refused(
        rich,
        tx.Mint,
        "issuer",
        Reason.OVER_CAP,
        "amount_ucoin",
        note="more than can be counted",
        amount_ucoin=1,
        **cosigned,
        **other,
    )


def payments(book: Book) -> None:
    hub = SmallHub().site().drivers("ann", "bob", coins=3)
    book.accepted(hub, tx.Transfer, "ann", to=public("bob"))
    book.refused(hub, tx.Transfer, "ann", Reason.UNKNOWN_ACCOUNT, "to", to=public("nobody"))
    book.refused(
        hub,
        tx.Transfer,
        "ann",
        Reason.UNFUNDED,
        "amount_ucoin",
        to=public("bob"),
        amount_ucoin=2 * UCOIN_PER_COIN + 1,
    )
    book.accepted(hub, tx.Transfer, "ann", note="to itself", to=public("ann"))
    book.accepted(hub, tx.Withdraw, "ann")
    book.refused(
        hub, tx.Withdraw, "ann", Reason.UNFUNDED, "amount_ucoin", amount_ucoin=UCOIN_PER_COIN + 1
    )
    book.accepted(hub, tx.Withdraw, "ann", note="all", amount_ucoin=UCOIN_PER_COIN)


def proposals(book: Book) -> None:
    hub = SmallHub()
    hub.done(hub.wallet("ann"))
    newcomer = Member(key=public("new"), name="new", roles=Role.SUPPLIER | Role.ISSUER)
    add = tx.AddMember(member=newcomer)
    book.accepted(hub, tx.ProposeChange, "operator", note="of members", change=add)
    book.refused(hub, tx.ProposeChange, "ann", Reason.NOT_PERMITTED, "signer", change=add)
    wallet = tx.AddMember(member=Member(key=public("ann"), name="ann", roles=0))
    book.refused(
        hub,
        tx.ProposeChange,
        "operator",
        Reason.ALREADY_EXISTS,
        "change",
        note="a wallet as a member",
        change=wallet,
    )
    book.refused(
        hub,
        tx.ProposeChange,
        "operator",
        Reason.UNKNOWN_MEMBER,
        "change",
        change=tx.RemoveMember(key=public("ann")),
    )
    upgrade = tx.UpgradeRules(rules_version=2, height=1_000)
    book.accepted(hub, tx.ProposeChange, "operator", note="of rules", change=upgrade)
    book.refused(
        hub,
        tx.ProposeChange,
        "operator",
        Reason.OUT_OF_RANGE,
        "change",
        note="to rules that hold already",
        change=tx.UpgradeRules(rules_version=1, height=1_000),
    )
    book.refused(
        hub,
        tx.ProposeChange,
        "operator",
        Reason.TOO_LATE,
        "change",
        note="of rules at a height that is past",
        change=tx.UpgradeRules(rules_version=2, height=1),
    )
    [only] = [member for member in genesis().members if member.key == public("operator")]
    alone = SmallHub(members=(only,))
    book.refused(
        alone,
        tx.ProposeChange,
        "operator",
        Reason.OUT_OF_RANGE,
        "change",
        note="the last member goes",
        change=tx.RemoveMember(key=public("operator")),
    )
    book.accepted(alone, tx.ProposeChange, "operator", note="carried out at once", change=add)
    book.accepted(
        alone,
        tx.ProposeChange,
        "operator",
        note="a member's new roles",
        change=tx.AddMember(member=Member(key=public("operator"), name="both", roles=3)),
    )


def validators(book: Book) -> None:
    """The operator runs the chain's only validator."""
    [only] = [member for member in genesis().members if member.key == public("operator")]
    runs = replace(only, validator=public("validator"))
    hub = SmallHub(members=(runs,))
    no = partial(book.refused, hub, tx.ProposeChange, "operator", Reason.OUT_OF_RANGE, "change")
    grid = Member(key=public("grid"), name="grid", roles=2, validator=public("validator"))
    no(note="another's validator", change=tx.AddMember(member=grid))
    no(note="the last validator goes", change=tx.AddMember(member=only))
    second = tx.AddMember(member=replace(grid, validator=public("validator/grid")))
    book.accepted(hub, tx.ProposeChange, "operator", note="a second validator", change=second)


def votes(book: Book) -> None:
    hub = SmallHub()
    hub.done(hub.wallet("ann"))
    remove = hub.do(tx.ProposeChange, "operator", change=tx.RemoveMember(key=public("grid")))
    twin = hub.do(tx.ProposeChange, "operator", change=tx.RemoveMember(key=public("grid")))
    book.accepted(hub, tx.Vote, "grid", note="one of two that it needs", proposal_id=remove)
    book.refused(hub, tx.Vote, "ann", Reason.NOT_PERMITTED, "signer", proposal_id=remove)
    book.refused(
        hub, tx.Vote, "grid", Reason.UNKNOWN_PROPOSAL, "proposal_id", proposal_id=digest(b"none")
    )
    for member in ("operator", "grid"):
        book.refused(
            hub,
            tx.Vote,
            member,
            Reason.ALREADY_VOTED,
            "signer",
            note=f"by {member}",
            proposal_id=remove,
        )
    hub.do(tx.Vote, "supplier", proposal_id=remove)
    hub.do(tx.Vote, "issuer", proposal_id=remove)
    book.accepted(hub, tx.Vote, "regulator", note="which carries it", proposal_id=remove)
    book.refused(
        hub, tx.Vote, "authority", Reason.ALREADY_RESOLVED, "proposal_id", proposal_id=remove
    )
    book.refused(hub, tx.Vote, "authority", Reason.TOO_LATE, "proposal_id", proposal_id=twin)
    book.refused(
        hub,
        tx.Vote,
        "grid",
        Reason.NOT_PERMITTED,
        "signer",
        note="by who has left",
        proposal_id=twin,
    )


CASES = (wallets, mints, mints_without_bounds, payments, proposals, validators, votes)
