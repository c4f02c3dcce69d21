"""The secrets of the platform, as files that only their owner can read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sync.contract.signed import read_private_key
from sync.storage.atomic_files import check_absent, write_all_new

_COMMUNITY_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """`orders` signs orders (PEM, secret), `orders_public` is for every box, `community` makes person keys (secret)."""

    orders: Path
    orders_public: Path
    community: Path

    @classmethod
    def below(cls, folder: Path) -> KeyFiles:
        return cls(folder / "orders.key", folder / "orders.pub", folder / "community.key")

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs orders. Raises OSError, ValueError."""
        try:
            return read_private_key(self.orders)
        except FileNotFoundError as exc:
            raise FileNotFoundError(f"{self.orders} does not exist: create it with edge-platform keys init") from exc
        except ValueError as exc:
            raise ValueError(f"{self.orders}: {exc}") from exc

    def create(self) -> None:
        """Create all three. Raises FileExistsError if one exists: a key in use is never replaced."""
        check_absent(self.orders, self.orders_public, self.community)
        key = Ed25519PrivateKey.generate()
        self.orders.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_all_new(
            (self.orders, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
            (self.community, secrets.token_hex(_COMMUNITY_KEY_BYTES).encode() + b"\n", 0o600),
            (self.orders_public, public, 0o644),
        )
