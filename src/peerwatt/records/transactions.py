"""The closed set of messages, and the signed transaction that carries one.

Knows units, the codec and signatures; whether a message is allowed is for the contracts.
Every message names its chain, its signer, the signer's next nonce and until when it is valid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from peerwatt.records.auction import RoundId as RoundId
from peerwatt.records.auction_messages import ConfirmPresence as ConfirmPresence
from peerwatt.records.auction_messages import ProposeAuction as ProposeAuction
from peerwatt.records.auction_messages import ReportAbsence as ReportAbsence
from peerwatt.records.auction_messages import ReviseOrder as ReviseOrder
from peerwatt.records.codec import Record, decode, digest, encode
from peerwatt.records.market import Mechanism, PriceRule, SlotLimit, TariffStep
from peerwatt.records.member_messages import AddMember as AddMember
from peerwatt.records.member_messages import Change as Change
from peerwatt.records.member_messages import ConsentOpening as ConsentOpening
from peerwatt.records.member_messages import FundRewards as FundRewards
from peerwatt.records.member_messages import ProposeChange as ProposeChange
from peerwatt.records.member_messages import RemoveMember as RemoveMember
from peerwatt.records.member_messages import RequestOpening as RequestOpening
from peerwatt.records.member_messages import SetRewards as SetRewards
from peerwatt.records.member_messages import UpgradeRules as UpgradeRules
from peerwatt.records.member_messages import Vote as Vote
from peerwatt.records.message_header import Header as Header
from peerwatt.records.readings import SignedReading
from peerwatt.records.sealed import RevealOrder as RevealOrder
from peerwatt.records.sealed import SealOrder as SealOrder
from peerwatt.records.signing import REMEMBERED_BYTES, SigningKey, verify
from peerwatt.records.trades import Body, TradeKind
from peerwatt.units import (
    Count,
    EnergyWh,
    Hash,
    Key,
    Name,
    NameOrNone,
    PowerW,
    PriceDifferencePcoinPerKwh,
    PricePcoinPerKwh,
    PriceUcoinPerKwh,
    Signature,
    SlopeUcoinPerKwh2,
    SlotS,
    TimeS,
    Ucoin,
)

TRANSACTION_DOMAIN = "transaction"
COSIGN_DOMAIN = "cosignature"
WALLET_DOMAIN = "wallet"
MAX_TRANSACTION_BYTES = 1 << 20
PARSED_CACHE = 1 << 14


class Tick(Header, tag=1):
    """The clock key moves market time forward (chains with `tick_key` only)."""

    time_s: TimeS


class OpenWallet(Header, tag=4):
    """A driver's or a device's key becomes a wallet, with a token of a registration authority:
    its signature of the key (domain "wallet")."""

    authority: Key
    token: Signature


class Mint(Header, tag=5):
    """The issuer creates coins against a deposit; a regulator signs too."""

    to: Key
    amount_ucoin: Ucoin
    deposit_reference: Hash


class Withdraw(Header, tag=6):
    """Coins leave the ledger for their owner's deposit account."""

    amount_ucoin: Ucoin
    payout_reference: Hash


class Transfer(Header, tag=7):
    """Coins go from the signer to another account."""

    to: Key
    amount_ucoin: Ucoin


class RegisterSite(Header, tag=8):
    """An aggregator registers a hub that it runs; the grid operator signs too. `feeders` are the
    names of groups of ports that it may limit, ascending."""

    site: Name
    supplier: Key
    grid_operator: Key
    main_meter: Key
    import_limit_w: PowerW
    export_limit_w: PowerW
    slot_s: SlotS
    feeders: tuple[Name, ...] = ()


class RegisterPort(Header, tag=9):
    """A site's operator registers a metered connection with the key of its meter, behind one of the
    site's feeders or (empty) behind none."""

    site: Name
    port: Name
    meter: Key
    charge_limit_w: PowerW
    discharge_limit_w: PowerW
    feeder: NameOrNone = ""


class PublishTariff(Header, tag=10):
    """A supplier publishes prices; a grid operator signs too, for the network fee and levy."""

    tariff: Name
    price_rule: PriceRule
    steps: tuple[TariffStep, ...]
    end_s: TimeS
    network_fee_ucoin_per_kwh: PriceUcoinPerKwh
    platform_fee_ucoin_per_kwh: PriceUcoinPerKwh
    levy_ucoin_per_kwh: PriceUcoinPerKwh
    lost_load_ucoin_per_kwh: PriceUcoinPerKwh
    shortfall_penalty_ucoin_per_kwh: PriceUcoinPerKwh
    failed_clearing_penalty_ucoin: Ucoin


class PublishLimits(Header, tag=11):
    """A site's grid operator limits the connection, and feeders, slot by slot."""

    site: Name
    limits: tuple[SlotLimit, ...]


class OpenRound(Header, tag=12):
    """A site's operator opens the market of one slot; `lot_wh` is the one size with which orders
    count in it, where the mechanism wants one. With a `reveal_by_s` its orders are sealed."""

    site: Name
    tariff: Name
    mechanism: Mechanism
    gate_s: TimeS
    clear_by_s: TimeS
    slot_start_s: TimeS
    slot_end_s: TimeS
    settle_by_s: TimeS
    lot_wh: EnergyWh = 0
    reveal_by_s: TimeS = 0


class CheckIn(Header, tag=13):
    """A site's operator binds a wallet to the port it is plugged in at."""

    site: Name
    port: Name
    wallet: Key


class CheckOut(Header, tag=14):
    """A site's operator frees a port."""

    site: Name
    port: Name


class PlaceBuyOrder(Header, tag=15):
    """A driver asks for energy in a round; `limit` is its bid where the curve is not (`V2V`)."""

    round_id: RoundId
    port: Name
    min_wh: EnergyWh
    max_wh: EnergyWh
    price_high_ucoin_per_kwh: PriceUcoinPerKwh
    price_low_ucoin_per_kwh: PriceUcoinPerKwh
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


class PlaceSellOrder(Header, tag=16):
    """A driver, roof or storage offers energy in a round; `limit` is its ask where the cost is not
    (`V2V`)."""

    round_id: RoundId
    port: Name
    max_wh: EnergyWh
    ask_ucoin_per_kwh: PriceUcoinPerKwh
    slope_ucoin_per_kwh2: SlopeUcoinPerKwh2
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


class CancelOrder(Header, tag=17):
    """An owner takes an order back before the gate."""

    round_id: RoundId
    order_id: Hash


class ReportReadings(Header, tag=18):
    """A site's operator brings in what its meters signed for a round."""

    round_id: RoundId
    readings: tuple[SignedReading, ...]


class OpenDispute(Header, tag=19):
    """A driver objects to the settlement of its order; the amount is frozen."""

    round_id: RoundId
    order_id: Hash
    amount_ucoin: Ucoin
    statement_hash: Hash


class ResolveDispute(Header, tag=20):
    """A regulator ends a dispute with a credit note, which may be zero."""

    order_id: Hash
    credit_ucoin: Ucoin


class ProposeClearing(Header, tag=21):
    """A member proposes a clearing of a frozen book, named by its root: of pairs one price per
    order in the order of their ids, a buyer's per kWh bought, a seller's reserve; else one price,
    the bus's. `feeder_prices` say by how much energy is dearer on each limited feeder. Long lists
    come in parts under the hash of the whole; `prices` is part `part` of `parts`."""

    round_id: RoundId
    orders_root: Hash
    prices_hash: Hash
    part: Count
    parts: Count
    prices: tuple[PricePcoinPerKwh, ...]
    feeder_prices: tuple[PriceDifferencePcoinPerKwh, ...] = ()


class RecordTrade(Header, tag=25):
    """A buyer records a settled purchase, and of whose sale it was; the seller signs too. `history`
    and `seller_history` are the hashes of both wallets' newest records, a record's hash being that
    of its message; the body is encrypted."""

    round_id: RoundId
    order_id: Hash
    sale_id: Hash
    seller: Key
    trade_kind: TradeKind
    tags: tuple[Name, ...]
    history: Hash
    seller_history: Hash
    time_s: TimeS
    body: Body


Message = (
    Tick
    | ProposeChange
    | Vote
    | OpenWallet
    | Mint
    | Withdraw
    | Transfer
    | RegisterSite
    | RegisterPort
    | PublishTariff
    | PublishLimits
    | OpenRound
    | CheckIn
    | CheckOut
    | PlaceBuyOrder
    | PlaceSellOrder
    | CancelOrder
    | ReportReadings
    | OpenDispute
    | ResolveDispute
    | ProposeClearing
    | ProposeAuction
    | ReportAbsence
    | ConfirmPresence
    | RecordTrade
    | RequestOpening
    | ConsentOpening
    | FundRewards
    | SealOrder
    | RevealOrder
    | ReviseOrder
)


class Transaction(Record):
    """A message's bytes with its signer's signature and, where a message needs two, another's.

    The cosigner signs the message, the signer both, so that nobody can part them; neither can
    anyone move bytes between cosigner and cosignature, which both have their greatest length.
    """

    message: bytes
    signature: Signature
    cosigner: Annotated[bytes, Meta(max_length=32)] = b""
    cosignature: Annotated[bytes, Meta(max_length=64)] = b""

    @property
    def message_id(self) -> bytes:
        """The hash of the message: an order's id, a proposal's id."""
        return digest(self.message)

    def is_signed(self, key: bytes, chain_id: str) -> bool:
        """Whether `key` signed message and cosignature for this chain."""
        data = self.message + self.cosigner + self.cosignature
        return verify(key, TRANSACTION_DOMAIN, chain_id, data, self.signature)

    def is_cosigned(self, chain_id: str) -> bool:
        """Whether the named cosigner signed the message for this chain."""
        return verify(self.cosigner, COSIGN_DOMAIN, chain_id, self.message, self.cosignature)


def sign_message(
    message: Message, key: SigningKey, cosigning_key: SigningKey | None = None
) -> bytes:
    """The canonical bytes of the transaction that carries the message."""
    data, chain_id = encode(message), message.chain_id
    cosigner = cosignature = b""
    if cosigning_key is not None:
        cosigner = cosigning_key.public
        cosignature = cosigning_key.sign(COSIGN_DOMAIN, chain_id, data)
    signature = key.sign(TRANSACTION_DOMAIN, chain_id, data + cosigner + cosignature)
    return encode(
        Transaction(message=data, signature=signature, cosigner=cosigner, cosignature=cosignature)
    )


def decode_message(data: bytes) -> Message:
    """The message that these bytes encode; CodecError if none."""
    return decode(data, Message)  # type: ignore[arg-type]


def parse(data: bytes) -> tuple[Transaction, Message]:
    """The transaction that these bytes encode, and its message; CodecError if none.

    Remembered for short data: a transaction is read at admission, for its order in a block and in
    the block itself, and records are frozen.
    """
    return _parse_remembered(data) if len(data) <= REMEMBERED_BYTES else _parse(data)


def _parse(data: bytes) -> tuple[Transaction, Message]:
    transaction = decode(data, Transaction)
    return transaction, decode_message(transaction.message)


_parse_remembered = lru_cache(maxsize=PARSED_CACHE)(_parse)
