"""Pictures from public addresses: every connection goes to an address that was looked at, also behind a redirect.

The name is resolved once and that very address is connected to, so that a name server can't answer with another one
in between.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from vipcli.server.refusals import Refusal

__all__ = ["fetch", "is_public"]

_SECONDS = 20.0  # for all of it
_REDIRECTS = 5
# Within these lies an IPv4 address, which a gateway would turn to: 6to4, Teredo, NAT64 and its local kind.
_TUNNELS = [ipaddress.ip_network(net) for net in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, as opposed to this machine or its networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in net for net in _TUNNELS):
            return False
    return ip.is_global and not ip.is_multicast


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone."""

    def __init__(self) -> None:
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to `host`, once all addresses that it has are found to be public."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not addresses or not all(map(is_public, addresses)):
            raise _Private
        return await self._real.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """See `httpcore`."""
        await asyncio.sleep(seconds)


class _Private(Exception):
    """The address isn't public."""


async def fetch(url: str, limit: int, param: str) -> bytes:
    """The bytes at a public http(s) address, `limit` at most. Raises `Refusal`."""
    try:
        async with asyncio.timeout(_SECONDS), httpcore.AsyncConnectionPool(network_backend=_Guarded()) as pool:
            return await _get(pool, httpx.URL(url), limit, param)
    except _Private:
        why = "the picture's address is none of the public internet: this server doesn't go there"
        raise Refusal(400, why, param=param, code="image_source_refused") from None
    except TimeoutError:
        raise Refusal(400, f"the picture wasn't there within {_SECONDS:g} seconds", param=param) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
        raise Refusal(400, "the picture can't be fetched", param=param) from None
    except (httpx.InvalidURL, httpcore.UnsupportedProtocol, UnicodeError, ValueError):
        raise Refusal(400, "the picture's address is no http(s) URL", param=param) from None


async def _get(pool: httpcore.AsyncConnectionPool, url: httpx.URL, limit: int, param: str) -> bytes:
    for _ in range(_REDIRECTS + 1):
        if url.scheme not in ("http", "https") or not url.host:
            raise Refusal(400, "the picture's address leads to what is no http(s) URL", param=param)
        bare = str(url.copy_with(username=None, password=None, fragment=None))
        headers: dict[bytes | str, bytes | str] = {
            "Host": url.netloc.decode().rpartition("@")[2],
            "User-Agent": "vipcli",
            "Accept-Encoding": "identity",
        }
        async with pool.stream("GET", bare, headers=headers) as response:
            its = {name.lower(): value for name, value in response.headers}
            if response.status in (301, 302, 303, 307, 308) and b"location" in its:
                url = url.join(its[b"location"].decode("latin-1"))
                continue
            if not 200 <= response.status < 300:
                raise Refusal(400, f"the picture's server answered {response.status}", param=param)
            data = bytearray()
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > limit:
                    raise Refusal(413, f"the picture has more than {limit:,} bytes", param=param)
            return bytes(data)
    raise Refusal(400, f"the picture's address redirects more than {_REDIRECTS} times", param=param)
