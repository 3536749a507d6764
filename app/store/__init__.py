"""The store that replicas share: Redis or Valkey, only with `REDIS_URL`."""

from app.store.link import COMMAND_S, QUIET_MS, RENEW_S, Away, Claim, Link, probe

__all__ = ["COMMAND_S", "QUIET_MS", "RENEW_S", "Away", "Claim", "Link", "probe"]
